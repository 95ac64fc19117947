#include "backend/cuda/attention/window_attention_large.h"

#include "backend/cuda/attention/window_attention_rows.h"
#include "backend/cuda/backend_class.h"

// Each thread owns a row, a query or a key, and iterates over the rows of the other side in global
// memory, where all lanes read the same row at once. For the formulas see
// window_attention_backward.cu.

namespace countenance::cuda {

namespace {

constexpr int kLargeThreads = 128;

// What a block stores about a token of its window.
struct Token {
  int pixel;     // AttentionLayout::pixel
  int position;  // AttentionLayout::position
  int part;      // AttentionLayout::part, for the edges that the window is at
};

// Shared memory: the head's bias table, the block's share of its gradient, log_sum_exp and
// rowsum(P dP) of each query, the tokens. The forward pass needs the first and the last.
constexpr size_t shared_bytes(size_t table_rows, size_t tokens) {
  return 2 * sizeof(float) * (table_rows + tokens) + sizeof(Token) * tokens;
}
static_assert(shared_bytes((2 * kLargestWindow - 1) * (2 * kLargestWindow - 1),
                           kLargestWindow* kLargestWindow) <= kMostSharedBytes);

template <class T>
__device__ __forceinline__ float dot_rows(const T* a, const T* b, int depth, bool vectors) {
  Floats<4> sums = all<4>(0.0f);
  if (vectors) {
    for (int d = 0; d < depth; d += 4) {
      const Floats<4> x = load<4>(a + d), y = load<4>(b + d);
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[i] = fmaf(x[i], y[i], sums[i]);
    }
  } else {
    for (int d = 0; d < depth; ++d) {
      sums[0] = fmaf(load<1>(a + d)[0], load<1>(b + d)[0], sums[0]);
    }
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// sum += weight * row
__device__ __forceinline__ void add_row(Chunk& sum, float weight, const Chunk& row) {
#pragma unroll
  for (int d = 0; d < kChunk; ++d) sum[d] = fmaf(weight, row[d], sum[d]);
}

// A block's window and head.
template <class T>
struct LargeTask {
  __device__ __forceinline__ LargeTask(const AttentionLayout& layout_, const T* qkv_,
                                       const float* head_table_, Token* tokens_)
      : layout(layout_),
        head(static_cast<int>(blockIdx.x) % layout_.heads),
        vectors(layout_.depth % 4 == 0),
        qkv(qkv_),
        head_table(head_table_),
        tokens(tokens_) {}

  // Must be followed by a barrier.
  __device__ __forceinline__ void enter(int w) {
    place = layout.find(w);
    for (int t = static_cast<int>(threadIdx.x); t < layout.tokens; t += kLargeThreads) {
      const int v = t / layout.window, u = t % layout.window;
      tokens[t] = {layout.pixel(place, v, u), layout.position(v, u),
                   layout.part(v, u) & place.kind};
    }
  }

  // Index of a token's first channel; part: 0, 1, 2 for q, k, v of a tensor (B, H, W, parts C).
  __device__ __forceinline__ int64_t at(int token, int part, int parts) const {
    return layout.offset(place, tokens[token].pixel, parts * layout.channels) +
           part * layout.channels + head * layout.depth;
  }
  __device__ __forceinline__ const T* input(int token, int part) const {
    return qkv + at(token, part, 3);
  }
  __device__ __forceinline__ Chunk load(const T* row, const ChannelRange& range) const {
    return load_chunk(row + range.first, range.count, vectors);
  }
  __device__ __forceinline__ void store(T* row, const Chunk& sum, float factor,
                                        const ChannelRange& range, bool accumulates) const {
    store_chunk(row + range.first, sum, factor, range.count, vectors, accumulates);
  }

  // scale q k^T + bias + mask
  __device__ __forceinline__ float score(int query, int key) const {
    const Token& a = tokens[query];
    const Token& b = tokens[key];
    const float product = dot_rows(input(query, 0), input(key, 1), layout.depth, vectors);
    const float bias = head_table[layout.same_position() + a.position - b.position];
    return fmaf(layout.scale, product, a.part != b.part ? bias + kMasked : bias);
  }

  const AttentionLayout& layout;
  int head;
  bool vectors;  // rows are aligned to four numbers
  const T* qkv;
  const float* head_table;  // shared
  Token* tokens;            // shared
  Window place = {};
};

template <class T>
__global__ void __launch_bounds__(kLargeThreads, 2)
    attention_large_forward(AttentionForward<T> tensors, AttentionLayout layout,
                            AttentionSlices slices) {
  COUNTENANCE_DYNAMIC_SHARED(float, head_table);
  LargeTask<T> task(layout, tensors.qkv, head_table,
                    reinterpret_cast<Token*>(head_table + layout.table_rows));
  stage_table(head_table, tensors.bias_table, task.head, layout, 1.0f);
  for (int w = slices.begin(layout); w < slices.end(layout); ++w) {
    task.enter(w);
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < layout.tokens; i += kLargeThreads) {
      // sum: of e^(score - top), top the largest score so far.
      float top = -INFINITY;
      float sum = 0;
      for (int j = 0; j < layout.tokens; ++j) {
        const float score = task.score(i, j);
        if (score > top) {
          sum *= expf(top - score);
          top = score;
        }
        sum += expf(score - top);
      }
      if (tensors.log_sum_exp) {
        tensors.log_sum_exp[layout.head_image(task.place, task.head) + task.tokens[i].pixel] =
            top + logf(sum);
      }
      for (int c = 0; c < layout.depth; c += kChunk) {
        const ChannelRange range(layout, c);
        Chunk output = all<kChunk>(0.0f);
        for (int j = 0; j < layout.tokens; ++j) {
          add_row(output, expf(task.score(i, j) - top), task.load(task.input(j, 2), range));
        }
        task.store(tensors.y + task.at(i, 0, 1), output, 1.0f / sum, range, false);
      }
    }
    // The next window's tokens overwrite these.
    __syncthreads();
  }
}

// P and dS of pairs of tokens.
template <class T>
struct PairGradients {
  __device__ __forceinline__ float probability(int query, int key) const {
    return expf(task.score(query, key) - log_sums[query]);
  }
  __device__ __forceinline__ const T* output(int token) const { return dy + task.at(token, 0, 1); }
  __device__ __forceinline__ float probability_gradient(int query, int key) const {
    return dot_rows(output(query), task.input(key, 2), task.layout.depth, task.vectors);
  }
  // dS, from P.
  __device__ __forceinline__ float score_gradient(float p, int query, int key) const {
    return p * (probability_gradient(query, key) - deltas[query]);
  }
  __device__ __forceinline__ float score_gradient(int query, int key) const {
    return score_gradient(probability(query, key), query, key);
  }

  // rowsum(P dP)
  __device__ __forceinline__ float delta(int query) const {
    float sum = 0;
    for (int j = 0; j < task.layout.tokens; ++j) {
      sum = fmaf(probability(query, j), probability_gradient(query, j), sum);
    }
    return sum;
  }

  const LargeTask<T>& task;
  const T* dy;
  const float* log_sums;  // shared
  const float* deltas;    // shared
};

// The gradients of a token's query, key and value.
template <class T>
__device__ __forceinline__ void token_gradients(const AttentionBackward<T>& tensors,
                                                const PairGradients<T>& pairs, int token) {
  const LargeTask<T>& task = pairs.task;
  const AttentionLayout& layout = task.layout;
  for (int c = 0; c < layout.depth; c += kChunk) {
    const ChannelRange range(layout, c);
    const auto put = [&](const Chunk& sum, float factor, int part) {
      task.store(tensors.dqkv + task.at(token, part, 3), sum, factor, range, tensors.accumulates);
    };
    Chunk query = all<kChunk>(0.0f);
    for (int j = 0; j < layout.tokens; ++j) {
      add_row(query, pairs.score_gradient(token, j), task.load(task.input(j, 1), range));
    }
    put(query, layout.scale, 0);
    Chunk key = all<kChunk>(0.0f);
    Chunk value = all<kChunk>(0.0f);
    for (int i = 0; i < layout.tokens; ++i) {
      const float p = pairs.probability(i, token);
      const float gradient = pairs.score_gradient(p, i, token);
      add_row(key, gradient, task.load(task.input(i, 0), range));
      add_row(value, p, task.load(pairs.output(i), range));
    }
    put(key, layout.scale, 1);
    put(value, 1.0f, 2);
  }
}

template <class T>
__global__ void __launch_bounds__(kLargeThreads, 2)
    attention_large_backward(AttentionBackward<T> tensors, AttentionLayout layout,
                             AttentionSlices slices) {
  COUNTENANCE_DYNAMIC_SHARED(float, head_table);
  float* table_sums = head_table + layout.table_rows;
  float* log_sums = table_sums + layout.table_rows;
  float* deltas = log_sums + layout.tokens;
  LargeTask<T> task(layout, tensors.qkv, head_table,
                    reinterpret_cast<Token*>(deltas + layout.tokens));
  const PairGradients<T> pairs{task, tensors.dy, log_sums, deltas};
  const int first = static_cast<int>(threadIdx.x);
  stage_table(head_table, tensors.bias_table, task.head, layout, 1.0f);
  for (int r = first; r < layout.table_rows; r += kLargeThreads) table_sums[r] = 0.0f;
  for (int w = slices.begin(layout); w < slices.end(layout); ++w) {
    task.enter(w);
    __syncthreads();
    const float* saved = tensors.log_sum_exp + layout.head_image(task.place, task.head);
    for (int i = first; i < layout.tokens; i += kLargeThreads) {
      log_sums[i] = saved[task.tokens[i].pixel];
      deltas[i] = pairs.delta(i);
    }
    __syncthreads();
    if (tensors.dqkv) {
      for (int t = first; t < layout.tokens; t += kLargeThreads) token_gradients(tensors, pairs, t);
    }
    if (tensors.tables) {
      for (int r = first; r < layout.table_rows; r += kLargeThreads) {
        table_sums[r] += gather_position(r, layout.window,
                                         [&](int i, int j) { return pairs.score_gradient(i, j); });
      }
    }
    // The next window's tokens overwrite these.
    __syncthreads();
  }
  if (!tensors.tables) return;
  float* table = block_table(tensors.tables, layout);
  for (int r = first; r < layout.table_rows; r += kLargeThreads) table[r] = table_sums[r];
}

LaunchShape large_shape(const AttentionLayout& layout, const AttentionSlices& slices) {
  if (layout.window > kLargestWindow) {
    fail(code::kUnsupported, "a window of ", layout.window, " x ", layout.window,
         " tokens is too large: the largest one on a GPU is ", kLargestWindow, " x ",
         kLargestWindow);
  }
  return {slices.grid(layout), dim3(kLargeThreads),
          shared_bytes(static_cast<size_t>(layout.table_rows), static_cast<size_t>(layout.tokens))};
}

}  // namespace

template <class T>
void large_attention_forward(const char* name, const Queue& queue,
                             const AttentionForward<T>& tensors, const AttentionLayout& layout,
                             const AttentionSlices& slices) {
  launch(name, queue, large_shape(layout, slices), attention_large_forward<T>, tensors, layout,
         slices);
}

template <class T>
void large_attention_backward(const char* name, const Queue& queue,
                              const AttentionBackward<T>& tensors, const AttentionLayout& layout,
                              const AttentionSlices& slices) {
  launch(name, queue, large_shape(layout, slices), attention_large_backward<T>, tensors, layout,
         slices);
}

#define COUNTENANCE_LARGE_ATTENTION(T)                                                           \
  template void large_attention_forward(const char*, const Queue&, const AttentionForward<T>&,   \
                                        const AttentionLayout&, const AttentionSlices&);         \
  template void large_attention_backward(const char*, const Queue&, const AttentionBackward<T>&, \
                                         const AttentionLayout&, const AttentionSlices&)
COUNTENANCE_LARGE_ATTENTION(float);
COUNTENANCE_LARGE_ATTENTION(__nv_bfloat16);
#undef COUNTENANCE_LARGE_ATTENTION

}  // namespace countenance::cuda
