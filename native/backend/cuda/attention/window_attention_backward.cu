#include "backend/cuda/attention/window_attention.h"
#include "backend/cuda/attention/window_attention_run.h"
#include "backend/cuda/backend_class.h"

// With S = scale Q K^T + terms, P = softmax(S) = e^(S - log_sum_exp), O = P V:
//   dV = P^T dO,  dP = dO V^T,  dS = P (dP - rowsum(P dP)),
//   dQ = scale dS K,  dK = scale dS^T Q,  dbias = sum over windows of dS, gathered by position.
// rowsum(P dP) equals rowsum(dO O); with the whole row available, O is not needed.

namespace countenance::cuda {

namespace {

// ---- Small windows ----

// For query i: replaces the products Q K^T in its column of `probabilities` with P, and dP in its
// column of `gradients` with dS.
__device__ __forceinline__ void score_gradient_column(float* probabilities, float* gradients,
                                                      int stride, QueryTerms terms, float scale,
                                                      float log_sum, int tokens) {
  float delta = 0;
  for (int j = 0; j < tokens; ++j) {
    const float p = expf(fmaf(probabilities[j * stride], scale, terms.next()) - log_sum);
    probabilities[j * stride] = p;
    delta = fmaf(p, gradients[j * stride], delta);
  }
  for (int j = 0; j < tokens; ++j) {
    gradients[j * stride] = probabilities[j * stride] * (gradients[j * stride] - delta);
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads, 5)
    attention_rows_backward(AttentionBackward<T> tensors, AttentionLayout layout,
                            AttentionSlices slices, RowsLayout shape) {
  COUNTENANCE_DYNAMIC_SHARED(float, shared);
  float* keys = shared;
  float* others = keys + shape.chunk_elements;     // values, then queries
  float* outputs = others + shape.chunk_elements;  // dO
  float* probabilities = outputs + shape.chunk_elements;
  float* gradients = probabilities + shape.score_elements;
  float* head_table = gradients + shape.score_elements;
  float* table_sums = head_table + layout.table_rows;
  int* pixels = reinterpret_cast<int*>(table_sums + layout.table_rows);
  const int head = static_cast<int>(blockIdx.x) % layout.heads;
  const int first = static_cast<int>(threadIdx.x);
  const int tokens = layout.tokens;
  const int stride = shape.score_stride;
  stage_table(head_table, tensors.bias_table, head, layout, 1.0f);
  for (int r = first; r < layout.table_rows; r += kRowThreads) table_sums[r] = 0.0f;
  RowsTask<T> task(layout, head, pixels);
  for (int w = slices.begin(layout); w < slices.end(layout); ++w) {
    task.enter(w);
    __syncthreads();
    for (int c = 0; c < layout.depth; c += kChunk) {
      const ChannelRange range(layout, c);
      task.stage(keys, tensors.qkv, 1, 3, range);
      task.stage(others, tensors.qkv, 2, 3, range);
      __syncthreads();
      for (int i = first; i < tokens; i += kRowThreads) {
        const Chunk query = task.load_row(tensors.qkv, i, 0, 3, range);
        const Chunk output = task.load_row(tensors.dy, i, 0, 1, range);
#pragma unroll 1
        for (int j = 0; j < tokens; ++j) {
          float& p = probabilities[j * stride + i];
          float& g = gradients[j * stride + i];
          p = (c == 0 ? 0.0f : p) + dot(query, keys + j * kChunk);
          g = (c == 0 ? 0.0f : g) + dot(output, others + j * kChunk);
        }
      }
      __syncthreads();
    }
    const float* log_sums = tensors.log_sum_exp + layout.head_image(task.place, head);
    for (int i = first; i < tokens; i += kRowThreads) {
      const QueryTerms terms(layout, head_table, task.place.kind, i);
      score_gradient_column(probabilities + i, gradients + i, stride, terms, layout.scale,
                            log_sums[pixels[i]], tokens);
    }
    __syncthreads();
    if (tensors.tables) {
      for (int r = first; r < layout.table_rows; r += kRowThreads) {
        table_sums[r] += gather_position(r, layout.window,
                                         [&](int i, int j) { return gradients[j * stride + i]; });
      }
    }
    for (int c = 0; tensors.dqkv && c < layout.depth; c += kChunk) {
      const ChannelRange range(layout, c);
      task.stage(keys, tensors.qkv, 1, 3, range);
      task.stage(others, tensors.qkv, 0, 3, range);
      task.stage(outputs, tensors.dy, 0, 1, range);
      __syncthreads();
      for (int i = first; i < tokens; i += kRowThreads) {
        const auto put = [&](const Chunk& sum, float factor, int part) {
          task.store_row(tensors.dqkv, sum, factor, i, part, 3, range, tensors.accumulates);
        };
        put(weighted_sum(gradients + i, stride, keys, tokens), layout.scale, 0);
        put(weighted_sum(gradients + i * stride, 1, others, tokens), layout.scale, 1);
        put(weighted_sum(probabilities + i * stride, 1, outputs, tokens), 1.0f, 2);
      }
      __syncthreads();
    }
    // The next window's products overwrite what other threads may still be gathering.
    __syncthreads();
  }
  if (!tensors.tables) return;
  float* table = block_table(tensors.tables, layout);
  for (int r = first; r < layout.table_rows; r += kRowThreads) table[r] = table_sums[r];
}

// ---- Windows of 7 x 7, heads of 32 channels, bfloat16 ----

struct alignas(16) BackwardStage {
  Tile q, k, v, outputs;  // outputs: dO
  float log_sums[kTileTokens];
};
struct BackwardShared {
  BackwardStage stages[2];
  ScoreTile probabilities, gradients;
  Bf16 zeros[kScoreStride];
  float head_table[kTileTableRows];
};
// dS summed over the windows, in the stages' memory.
using ScoreSums = float[kTileTokens * kTileTokens];
static_assert(sizeof(ScoreSums) <= sizeof(BackwardStage[2]));
static_assert(sizeof(BackwardShared) <= 48 * 1024);

__device__ __forceinline__ void stage_backward(BackwardStage& stage,
                                               const AttentionBackward<Bf16>& tensors,
                                               const AttentionLayout& layout, int w, int head,
                                               const LaneRows& rows) {
  const Window place = layout.find(w);
  const Bf16* q = tensors.qkv + head * kTileDepth;
  const int width = 3 * layout.channels;
  stage_tile(stage.q, q, width, layout, place, rows);
  stage_tile(stage.k, q + layout.channels, width, layout, place, rows);
  stage_tile(stage.v, q + 2 * layout.channels, width, layout, place, rows);
  stage_tile(stage.outputs, tensors.dy + head * kTileDepth, layout.channels, layout, place, rows);
  const float* saved = tensors.log_sum_exp + layout.head_image(place, head);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (rows.t != 0 || !rows.exists(half)) continue;
    cp_async_4(&stage.log_sums[rows.row(half)], saved + rows.pixel(layout, place, half), true);
  }
  cp_async_commit();
}

// Replaces scores with P and gradients dP with dS. Rows that do not exist have dP = 0, so dS = 0.
__device__ __forceinline__ void score_gradient(Scores& scores, Scores& gradients,
                                               const BackwardStage& stage, const LaneRows& rows) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float log_sum =
        rows.exists(half) ? ScoreTerms::kLog2e * stage.log_sums[rows.row(half)] : 0.0f;
    float delta = 0;
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        scores[n][i] = exp2f(scores[n][i] - log_sum);
        delta = fmaf(scores[n][i], gradients[n][i], delta);
      }
    }
    delta = row_sum(delta);
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        gradients[n][i] = scores[n][i] * (gradients[n][i] - delta);
      }
    }
  }
}

__device__ __forceinline__ void store_scores(ScoreTile& tile, const PackedScores& packed,
                                             const LaneRows& rows) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (!rows.exists(half)) continue;
    Bf16* to = tile + rows.row(half) * kScoreStride + 2 * rows.t;
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) *reinterpret_cast<uint32_t*>(to + 8 * n) = packed[n][half];
  }
}

// sums = scores^T tile, a sum over the queries; the warp's rows are keys.
__device__ __forceinline__ void multiply_scores_transposed(Rows& sums, const ScoreTile& scores,
                                                           const Tile& tile, const Bf16* zeros,
                                                           const LaneRows& rows) {
#pragma unroll
  for (auto& four : sums) {
    for (float& sum : four) sum = 0.0f;
  }
  // Only the first 8 of the last warp's keys have scores: results for the others are not stored.
  const int key = min(rows.first + rows.lane / 8 % 2 * 8, kScoreStride - 8);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int query = 16 * k + rows.lane % 8 + rows.lane / 16 * 8;
    uint32_t a[4];
    ldmatrix_x4_trans(a, tile_row(scores, kScoreStride, query, zeros) + key);
    multiply_add(sums, a, tile, k, zeros, rows.lane);
  }
}

// A block's share of the table, from its threads' sums.
__device__ __forceinline__ void gather_table(float* table, ScoreSums& shared, const Scores& sums,
                                             const LaneRows& rows) {
#pragma unroll
  for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = 8 * n + 2 * rows.t + i % 2;
      if (rows.exists(i / 2) && key < kTileTokens) {
        shared[rows.row(i / 2) * kTileTokens + key] = sums[n][i];
      }
    }
  }
  __syncthreads();
  for (int r = static_cast<int>(threadIdx.x); r < kTileTableRows; r += kTileThreads) {
    table[r] =
        gather_position(r, kTileWindow, [&](int i, int j) { return shared[i * kTileTokens + j]; });
  }
}

__global__ void __launch_bounds__(kTileThreads, 3)
    attention_tiles_backward(AttentionBackward<Bf16> tensors, AttentionLayout layout,
                             AttentionSlices slices) {
  COUNTENANCE_SHARED(BackwardShared, shared, [1]);
  const LaneRows rows;
  const int head = static_cast<int>(blockIdx.x) % layout.heads;
  const int begin = slices.begin(layout);
  const int end = slices.end(layout);
  const Bf16* zeros = shared->zeros;
  stage_backward(shared->stages[0], tensors, layout, begin, head, rows);
  if (threadIdx.x < kScoreStride) shared->zeros[threadIdx.x] = __float2bfloat16_rn(0.0f);
  stage_table(shared->head_table, tensors.bias_table, head, layout, ScoreTerms::kLog2e);
  const ScoreTerms terms(layout, shared->head_table, rows);
  Scores score_sums = {};
  for (int w = begin; w < end; ++w) {
    BackwardStage& stage = shared->stages[(w - begin) % 2];
    // After the barrier, this window has arrived and the previous one is no longer needed.
    cp_async_wait<0>();
    __syncthreads();
    if (w + 1 < end) {
      stage_backward(shared->stages[(w + 1 - begin) % 2], tensors, layout, w + 1, head, rows);
    }
    const Window place = layout.find(w);
    Scores scores, gradients;
    uint32_t own[2][4];
    load_rows(own, stage.q, zeros, rows);
    multiply_transposed(scores, own, stage.k, zeros, rows.lane);
    load_rows(own, stage.outputs, zeros, rows);
    multiply_transposed(gradients, own, stage.v, zeros, rows.lane);
    terms.apply(scores, place.kind);
    score_gradient(scores, gradients, stage, rows);
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) score_sums[n][i] += gradients[n][i];
    }
    if (!tensors.dqkv) continue;

    PackedScores packed;
    pack(packed, scores);
    store_scores(shared->probabilities, packed, rows);
    pack(packed, gradients);
    store_scores(shared->gradients, packed, rows);
    // After the barrier, the values are no longer needed: a warp stages its results in its rows of
    // them.
    __syncthreads();
    Rows sums;
    const float scaled[2] = {layout.scale, layout.scale};
    const float plain[2] = {1.0f, 1.0f};
    const auto put = [&](int part, const float(&factor)[2]) {
      store_rows(tensors.dqkv + part * layout.channels + head * kTileDepth, 3 * layout.channels,
                 sums, factor, tensors.accumulates, stage.v, layout, place, rows);
    };
    multiply_scores(sums, packed, stage.k, zeros, rows.lane);
    put(0, scaled);
    multiply_scores_transposed(sums, shared->gradients, stage.q, zeros, rows);
    put(1, scaled);
    multiply_scores_transposed(sums, shared->probabilities, stage.outputs, zeros, rows);
    put(2, plain);
  }
  if (!tensors.tables) return;
  __syncthreads();
  gather_table(block_table(tensors.tables, layout), *reinterpret_cast<ScoreSums*>(shared->stages),
               score_sums, rows);
}

// ---- The table's gradient ----

constexpr int kTableLanes = 16;

// dbias_table (table_rows, heads): the sum of the slices' shares; each lane sums every 16th share,
// then the lanes are summed in order.
__global__ void __launch_bounds__(kWarp* kTableLanes)
    bias_table_gradient_kernel(float* dtable, bool accumulates, const float* tables, int slices,
                               int heads, int table_rows) {
  COUNTENANCE_SHARED(double, lanes, [kTableLanes][kWarp]);
  const int entries = heads * table_rows;
  const int entry = static_cast<int>(blockIdx.x * kWarp + threadIdx.x);
  double sum = 0;
  if (entry < entries) {
#pragma unroll 4
    for (int s = static_cast<int>(threadIdx.y); s < slices; s += kTableLanes) {
      sum += tables[static_cast<int64_t>(s) * entries + entry];
    }
  }
  lanes[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || entry >= entries) return;
  for (int lane = 1; lane < kTableLanes; ++lane) sum += lanes[lane][threadIdx.x];
  float* place = dtable + entry % table_rows * heads + entry / table_rows;
  *place = static_cast<float>(sum + (accumulates ? *place : 0.0f));
}

}  // namespace

void CudaBackend::window_attention_backward(const WindowAttentionBackward& t,
                                            const WindowAttentionAttributes& attributes) {
  const char* name = "window_attention_backward";
  if (!t.dqkv.wanted() && !t.dbias_table.wanted()) return;
  const AttentionLayout layout(t.qkv.shape, attributes);
  const AttentionSlices slices = backward_slices(layout);
  float* tables = t.dbias_table.wanted() ? data<float>(t.workspace) : nullptr;
  with_activation(t.qkv.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const AttentionBackward<T> tensors = {data<T>(t.dqkv),
                                          t.dqkv.accumulates(),
                                          tables,
                                          data<T>(t.dy),
                                          data<T>(t.qkv),
                                          data<float>(t.log_sum_exp),
                                          data<float>(t.bias_table)};
    run_attention(name, queue(), tensors, layout, slices, RowsLayout(layout, 2, 3),
                  attention_tiles_backward, attention_rows_backward<T>,
                  large_attention_backward<T>);
  });
  if (!tables) return;
  const int entries = layout.heads * layout.table_rows;
  launch(name, queue(),
         {dim3(static_cast<unsigned>(divide_up(entries, kWarp))), dim3(kWarp, kTableLanes)},
         bias_table_gradient_kernel, data<float>(t.dbias_table), t.dbias_table.accumulates(),
         tables, slices.count, layout.heads, layout.table_rows);
}

}  // namespace countenance::cuda
