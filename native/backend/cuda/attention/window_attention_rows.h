#pragma once

#include "backend/cuda/attention/window_attention.h"
#include "backend/cuda/frames/reduce.h"

// Window attention in float arithmetic, for any depth and both types of activations, for windows
// whose scores fit into a block's shared memory (window_attention_large.h handles the others).
//
// Each thread owns a row: a query or, for the gradients of keys and values, a key. Its own channels
// and its sums are in registers, 32 channels at a time; the rows of the other side are streamed
// through shared memory, where all lanes read the same address at once. Scores are in shared memory
// too, those of one query down a column, so that the lanes of a warp hit different banks.

namespace countenance::cuda {

inline constexpr int kRowThreads = 64;
inline constexpr int kChunk = 32;  // channels

using Chunk = Floats<kChunk>;

// Shared memory in floats.
struct RowsLayout {
  RowsLayout(const AttentionLayout& layout, int score_matrices, int chunks)
      : score_stride(layout.tokens | 1),
        score_elements(divide_up(layout.tokens * score_stride, 4) * 4),
        chunk_elements(layout.tokens * kChunk),
        bytes(sizeof(float) * (static_cast<size_t>(chunks) * chunk_elements +
                               static_cast<size_t>(score_matrices) * score_elements +
                               2 * static_cast<size_t>(layout.table_rows + layout.tokens))) {}
  bool fits() const { return bytes <= kMostSharedBytes; }

  int score_stride;  // odd: a row of scores hits all banks, as a column does
  int score_elements, chunk_elements;
  size_t bytes;
};

// The channels of one pass: `count` of them, starting at `first`.
struct ChannelRange {
  __device__ __forceinline__ ChannelRange(const AttentionLayout& layout, int from)
      : first(from), count(min(kChunk, layout.depth - from)) {}
  int first, count;
};

// `count` numbers from p and zeros after them.
template <class T>
__device__ __forceinline__ Chunk load_chunk(const T* p, int count, bool vectors) {
  Chunk chunk = all<kChunk>(0.0f);
  if (vectors) {
#pragma unroll
    for (int d = 0; d < kChunk; d += 4) {
      if (d >= count) continue;
      const Floats<4> four = load<4>(p + d);
#pragma unroll
      for (int i = 0; i < 4; ++i) chunk[d + i] = four[i];
    }
  } else {
#pragma unroll
    for (int d = 0; d < kChunk; ++d) {
      if (d < count) chunk[d] = load<1>(p + d)[0];
    }
  }
  return chunk;
}

// Stores factor * chunk.
template <class T>
__device__ __forceinline__ void store_chunk(T* p, const Chunk& chunk, float factor, int count,
                                            bool vectors, bool accumulates) {
  if (vectors) {
#pragma unroll
    for (int d = 0; d < kChunk; d += 4) {
      if (d >= count) continue;
      const Floats<4> four = {factor * chunk[d], factor * chunk[d + 1], factor * chunk[d + 2],
                              factor * chunk[d + 3]};
      store_gradient(p + d, four, accumulates);
    }
  } else {
#pragma unroll
    for (int d = 0; d < kChunk; ++d) {
      if (d < count) store_gradient<1>(p + d, {factor * chunk[d]}, accumulates);
    }
  }
}

__device__ __forceinline__ float dot(const Chunk& a, const float* b) {
  Floats<4> sums = all<4>(0.0f);
#pragma unroll
  for (int d = 0; d < kChunk; d += 4) {
    const Floats<4> four = load<4>(b + d);
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[i] = fmaf(a[d + i], four[i], sums[i]);
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// sum over t of weights[t * stride] * rows[t]
__device__ __forceinline__ Chunk weighted_sum(const float* weights, int stride, const float* rows,
                                              int tokens) {
  Chunk sum = all<kChunk>(0.0f);
#pragma unroll 2
  for (int t = 0; t < tokens; ++t) {
    const float weight = weights[t * stride];
#pragma unroll
    for (int d = 0; d < kChunk; d += 4) {
      const Floats<4> four = load<4>(rows + t * kChunk + d);
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[d + i] = fmaf(weight, four[i], sum[d + i]);
    }
  }
  return sum;
}

// A block's window and head: where its tokens are.
template <class T>
struct RowsTask {
  __device__ __forceinline__ RowsTask(const AttentionLayout& layout_, int head_, int* pixels_)
      : layout(layout_), head(head_), vectors(layout_.depth % 4 == 0), pixels(pixels_) {}

  // Must be followed by a barrier.
  __device__ __forceinline__ void enter(int w) {
    place = layout.find(w);
    for (int t = static_cast<int>(threadIdx.x); t < layout.tokens; t += kRowThreads) {
      pixels[t] = layout.pixel(place, t / layout.window, t % layout.window);
    }
  }

  // part: 0, 1, 2 for q, k, v of a tensor (B, H, W, parts C).
  __device__ __forceinline__ int64_t offset(int token, int part, int parts,
                                            const ChannelRange& range) const {
    return layout.offset(place, pixels[token], parts * layout.channels) + part * layout.channels +
           head * layout.depth + range.first;
  }

  // All threads load rows (tokens, kChunk) into shared memory. Must be followed by a barrier.
  __device__ __forceinline__ void stage(float* rows, const T* data, int part, int parts,
                                        const ChannelRange& range) const {
    for (int k = static_cast<int>(threadIdx.x); k < layout.tokens * (kChunk / 4);
         k += kRowThreads) {
      const int token = k / (kChunk / 4);
      const int d = k % (kChunk / 4) * 4;
      const T* from = data + offset(token, part, parts, range) + d;
      Floats<4> four = all<4>(0.0f);
      if (vectors) {
        if (d < range.count) four = load<4>(from);
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (d + i < range.count) four[i] = load<1>(from + i)[0];
        }
      }
      store(rows + token * kChunk + d, four);
    }
  }
  __device__ __forceinline__ Chunk load_row(const T* data, int token, int part, int parts,
                                            const ChannelRange& range) const {
    return load_chunk(data + offset(token, part, parts, range), range.count, vectors);
  }
  __device__ __forceinline__ void store_row(T* data, const Chunk& row, float factor, int token,
                                            int part, int parts, const ChannelRange& range,
                                            bool accumulates) const {
    store_chunk(data + offset(token, part, parts, range), row, factor, range.count, vectors,
                accumulates);
  }

  const AttentionLayout& layout;
  int head;
  bool vectors;  // rows are aligned to four numbers
  int* pixels;   // shared
  Window place = {};
};

// The additive terms of one query's scores: bias + mask for the keys in order.
struct QueryTerms {
  __device__ __forceinline__ QueryTerms(const AttentionLayout& layout_, const float* head_table,
                                        int kind, int query)
      : layout(layout_), wrapping(kind) {
    const int v = query / layout.window, u = query % layout.window;
    bias = head_table + layout.same_position() + layout.position(v, u);
    part = layout.part(v, u) & kind;
  }
  __device__ __forceinline__ float next() {
    const float term = bias[-layout.position(v, u)];
    const bool apart = (layout.part(v, u) & wrapping) != part;
    if (++u == layout.window) {
      u = 0;
      ++v;
    }
    return apart ? term + kMasked : term;
  }

  const AttentionLayout& layout;
  int wrapping;
  const float* bias;
  int part;
  int v = 0, u = 0;  // of the next key
};

}  // namespace countenance::cuda
