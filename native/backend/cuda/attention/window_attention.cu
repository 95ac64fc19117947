#include "backend/cuda/attention/window_attention.h"

#include "backend/cuda/attention/window_attention_run.h"
#include "backend/cuda/backend_class.h"

// One block per slice of windows and head.

namespace countenance::cuda {

namespace {

// ---- Small windows ----

// Replaces the scores of query i, a column of `scores`, with e^(s - max). Returns max and sum.
struct Softmax {
  float top, sum;
};
__device__ __forceinline__ Softmax softmax_column(float* column, int stride, QueryTerms terms,
                                                  int tokens) {
  float top = -INFINITY;
  for (int j = 0; j < tokens; ++j) {
    const float score = column[j * stride] + terms.next();
    column[j * stride] = score;
    top = fmaxf(top, score);
  }
  float sum = 0;
  for (int j = 0; j < tokens; ++j) {
    const float e = expf(column[j * stride] - top);
    column[j * stride] = e;
    sum += e;
  }
  return {top, sum};
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    attention_rows_forward(AttentionForward<T> tensors, AttentionLayout layout,
                           AttentionSlices slices, RowsLayout shape) {
  COUNTENANCE_DYNAMIC_SHARED(float, shared);
  float* rows = shared;
  float* scores = rows + shape.chunk_elements;
  float* head_table = scores + shape.score_elements;
  float* inverse_sums = head_table + layout.table_rows;
  int* pixels = reinterpret_cast<int*>(inverse_sums + layout.tokens);
  const int head = static_cast<int>(blockIdx.x) % layout.heads;
  const int first = static_cast<int>(threadIdx.x);
  const int stride = shape.score_stride;
  stage_table(head_table, tensors.bias_table, head, layout, 1.0f);
  RowsTask<T> task(layout, head, pixels);
  for (int w = slices.begin(layout); w < slices.end(layout); ++w) {
    task.enter(w);
    __syncthreads();
    for (int c = 0; c < layout.depth; c += kChunk) {
      const ChannelRange range(layout, c);
      task.stage(rows, tensors.qkv, 1, 3, range);
      __syncthreads();
      for (int i = first; i < layout.tokens; i += kRowThreads) {
        const Chunk query = task.load_row(tensors.qkv, i, 0, 3, range);
        for (int j = 0; j < layout.tokens; ++j) {
          const float product = layout.scale * dot(query, rows + j * kChunk);
          float& score = scores[j * stride + i];
          score = c == 0 ? product : score + product;
        }
      }
      __syncthreads();
    }
    for (int i = first; i < layout.tokens; i += kRowThreads) {
      const QueryTerms terms(layout, head_table, task.place.kind, i);
      const Softmax result = softmax_column(scores + i, stride, terms, layout.tokens);
      inverse_sums[i] = 1.0f / result.sum;
      if (tensors.log_sum_exp) {
        tensors.log_sum_exp[layout.head_image(task.place, head) + pixels[i]] =
            result.top + logf(result.sum);
      }
    }
    for (int c = 0; c < layout.depth; c += kChunk) {
      const ChannelRange range(layout, c);
      task.stage(rows, tensors.qkv, 2, 3, range);
      __syncthreads();
      for (int i = first; i < layout.tokens; i += kRowThreads) {
        const Chunk sum = weighted_sum(scores + i, stride, rows, layout.tokens);
        task.store_row(tensors.y, sum, inverse_sums[i], i, 0, 1, range, false);
      }
      __syncthreads();
    }
  }
}

// ---- Windows of 7 x 7, heads of 32 channels, bfloat16 ----

struct alignas(16) ForwardStage {
  Tile q, k, v;
};
struct ForwardShared {
  ForwardStage stages[2];
  Bf16 zeros[kTileStride];
  float head_table[kTileTableRows];
};

__device__ __forceinline__ void stage_forward(ForwardStage& stage,
                                              const AttentionForward<Bf16>& tensors,
                                              const AttentionLayout& layout, int w, int head,
                                              const LaneRows& rows) {
  const Window place = layout.find(w);
  const Bf16* q = tensors.qkv + head * kTileDepth;
  const int width = 3 * layout.channels;
  stage_tile(stage.q, q, width, layout, place, rows);
  stage_tile(stage.k, q + layout.channels, width, layout, place, rows);
  stage_tile(stage.v, q + 2 * layout.channels, width, layout, place, rows);
  cp_async_commit();
}

// Replaces scores with their exponentials relative to the row's maximum; log_sums: log2 of the
// row's sum of 2^score; inverse_sums: the factor that turns the exponentials into probabilities.
__device__ __forceinline__ void softmax_rows(Scores& scores, float (&log_sums)[2],
                                             float (&inverse_sums)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float top = scores[0][2 * half];
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
      top = fmaxf(top, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
    }
    top = row_max(top);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        scores[n][i] = exp2f(scores[n][i] - top);
        sum += scores[n][i];
      }
    }
    sum = row_sum(sum);
    log_sums[half] = top + log2f(sum);
    inverse_sums[half] = 1.0f / sum;
  }
}

__global__ void __launch_bounds__(kTileThreads, 4)
    attention_tiles_forward(AttentionForward<Bf16> tensors, AttentionLayout layout,
                            AttentionSlices slices) {
  COUNTENANCE_SHARED(ForwardShared, shared, [1]);
  const LaneRows rows;
  const int head = static_cast<int>(blockIdx.x) % layout.heads;
  const int begin = slices.begin(layout);
  const int end = slices.end(layout);
  const Bf16* zeros = shared->zeros;
  stage_forward(shared->stages[0], tensors, layout, begin, head, rows);
  if (threadIdx.x < kTileStride) shared->zeros[threadIdx.x] = __float2bfloat16_rn(0.0f);
  stage_table(shared->head_table, tensors.bias_table, head, layout, ScoreTerms::kLog2e);
  const ScoreTerms terms(layout, shared->head_table, rows);
  for (int w = begin; w < end; ++w) {
    ForwardStage& stage = shared->stages[(w - begin) % 2];
    // After the barrier, this window has arrived and the previous one is no longer needed.
    cp_async_wait<0>();
    __syncthreads();
    if (w + 1 < end) {
      stage_forward(shared->stages[(w + 1 - begin) % 2], tensors, layout, w + 1, head, rows);
    }
    const Window place = layout.find(w);
    uint32_t queries[2][4];
    Scores scores;
    load_rows(queries, stage.q, zeros, rows);
    multiply_transposed(scores, queries, stage.k, zeros, rows.lane);
    terms.apply(scores, place.kind);
    float log_sums[2], inverse_sums[2];
    softmax_rows(scores, log_sums, inverse_sums);
    PackedScores packed;
    pack(packed, scores);
    Rows sums;
    multiply_scores(sums, packed, stage.v, zeros, rows.lane);
    // The warp's queries are in registers: their rows of the tile are free.
    store_rows(tensors.y + head * kTileDepth, layout.channels, sums, inverse_sums, false, stage.q,
               layout, place, rows);
    if (tensors.log_sum_exp && rows.t == 0) {
      float* saved = tensors.log_sum_exp + layout.head_image(place, head);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if (!rows.exists(half)) continue;
        saved[rows.pixel(layout, place, half)] = ScoreTerms::kLn2 * log_sums[half];
      }
    }
  }
}

}  // namespace

// Each slice's share of the table's gradient, in the backward pass.
size_t CudaBackend::window_attention_workspace(const Shape& qkv,
                                               const WindowAttentionAttributes& attributes) const {
  const AttentionLayout layout(qkv, attributes);
  return static_cast<size_t>(backward_slices(layout).count) *
         static_cast<size_t>(layout.heads * layout.table_rows) * sizeof(float);
}

void CudaBackend::window_attention_forward(Tensor y, Tensor log_sum_exp, Tensor qkv,
                                           Tensor bias_table,
                                           const WindowAttentionAttributes& attributes, Tensor) {
  const AttentionLayout layout(qkv.shape, attributes);
  const AttentionSlices slices = forward_slices(layout, queue());
  with_activation(qkv.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const AttentionForward<T> tensors = {data<T>(y), data<float>(log_sum_exp), data<T>(qkv),
                                         data<float>(bias_table)};
    run_attention("window_attention_forward", queue(), tensors, layout, slices,
                  RowsLayout(layout, 1, 1), attention_tiles_forward, attention_rows_forward<T>,
                  large_attention_forward<T>);
  });
}

}  // namespace countenance::cuda
