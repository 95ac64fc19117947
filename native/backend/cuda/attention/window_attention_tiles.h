#pragma once

#include "backend/cuda/attention/window_attention.h"
#include "backend/cuda/frames/reduce.h"

// Window attention on the tensor cores: windows of 7 x 7 tokens, heads of 32 channels, bfloat16.
//
// A block is four warps; warp k owns the 16 rows from 16 k on of every product, where a row is a
// query or, in the products with P^T and dS^T, a key. The 49 tokens occupy 64 rows: those after the
// last token read a single row of zeros. Scores are float and stay in registers, in the layout of
// mma's results (ptx.h): with g = lane / 4 and t = lane % 4, element i of tile n belongs to
//   row 16 k + g + 8 (i / 2), key 8 n + 2 t + i % 2.
// A thread loads and stores channels 8 t to 8 t + 7 of the same rows g and g + 8.

namespace countenance::cuda {

using Bf16 = __nv_bfloat16;

inline constexpr int kTileWindow = 7;
inline constexpr int kTileTokens = 49;
inline constexpr int kTileDepth = 32;
inline constexpr int kTileThreads = 128;
inline constexpr int kTileTableRows = 169;
inline constexpr int kKeyTiles = 7;  // 56 keys; the probabilities of the last 7 are zero
// Rows of 80 and 112 bytes: the 8 rows of a matrix are in different banks.
inline constexpr int kTileStride = 40;
inline constexpr int kScoreStride = 56;

using Tile = Bf16[kTileTokens * kTileStride];        // (tokens, channels)
using ScoreTile = Bf16[kTileTokens * kScoreStride];  // (queries, keys)
using Scores = float[kKeyTiles][4];
using Rows = float[kTileDepth / 8][4];  // 16 rows of 32 channels

inline bool fits_tiles(const AttentionLayout& layout) {
  return layout.window == kTileWindow && layout.depth == kTileDepth;
}

struct LaneRows {
  __device__ __forceinline__ LaneRows()
      : lane(static_cast<int>(threadIdx.x) % kWarp),
        first(static_cast<int>(threadIdx.x) / kWarp * 16),
        g(lane / 4),
        t(lane % 4) {}
  __device__ __forceinline__ int row(int half) const { return first + g + 8 * half; }
  __device__ __forceinline__ bool exists(int half) const { return row(half) < kTileTokens; }
  __device__ __forceinline__ int pixel(const AttentionLayout& layout, const Window& place,
                                       int half) const {
    return layout.pixel(place, row(half) / kTileWindow, row(half) % kTileWindow);
  }

  int lane, first, g, t;
};

// ---- Fragments ----

// A row of a tile; zeros after the last one, so that no other row needs them.
__device__ __forceinline__ const Bf16* tile_row(const Bf16* tile, int stride, int row,
                                                const Bf16* zeros) {
  return row < kTileTokens ? tile + row * stride : zeros;
}

// The left operand of products over the channels: 16 rows of a tile.
__device__ __forceinline__ void load_rows(uint32_t (&a)[2][4], const Tile& tile, const Bf16* zeros,
                                          const LaneRows& rows) {
  const Bf16* row = tile_row(tile, kTileStride, rows.first + rows.lane % 16, zeros);
#pragma unroll
  for (int k = 0; k < 2; ++k) ldmatrix_x4(a[k], row + 16 * k + 8 * (rows.lane / 16));
}

// scores = rows tile^T, a sum over the channels.
__device__ __forceinline__ void multiply_transposed(Scores& scores, const uint32_t (&a)[2][4],
                                                    const Tile& tile, const Bf16* zeros, int lane) {
#pragma unroll
  for (int n = 0; n < kKeyTiles; ++n) {
    uint32_t b[4];
    ldmatrix_x4(b, tile_row(tile, kTileStride, 8 * n + lane % 8, zeros) + 8 * (lane / 8));
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] = 0.0f;
    mma_bf16(scores[n], a[0], {b[0], b[1]});
    mma_bf16(scores[n], a[1], {b[2], b[3]});
  }
}

// sums += a tile, for the 16 columns of `a` that correspond to the tile's rows from 16 k on.
__device__ __forceinline__ void multiply_add(Rows& sums, const uint32_t (&a)[4], const Tile& tile,
                                             int k, const Bf16* zeros, int lane) {
  const Bf16* row = tile_row(tile, kTileStride, 16 * k + lane % 16, zeros);
#pragma unroll
  for (int d = 0; d < kTileDepth / 16; ++d) {
    uint32_t b[4];
    ldmatrix_x4_trans(b, row + 16 * d + 8 * (lane / 16));
    mma_bf16(sums[2 * d], a, {b[0], b[1]});
    mma_bf16(sums[2 * d + 1], a, {b[2], b[3]});
  }
}

// Scores as the left operand of products over the keys.
using PackedScores = uint32_t[kKeyTiles + 1][2];
__device__ __forceinline__ void pack(PackedScores& packed, const Scores& scores) {
#pragma unroll
  for (int n = 0; n < kKeyTiles; ++n) {
    packed[n][0] = bf16_pair(scores[n][0], scores[n][1]);
    packed[n][1] = bf16_pair(scores[n][2], scores[n][3]);
  }
  packed[kKeyTiles][0] = packed[kKeyTiles][1] = 0;
}

// sums = scores tile, a sum over the keys.
__device__ __forceinline__ void multiply_scores(Rows& sums, const PackedScores& scores,
                                                const Tile& tile, const Bf16* zeros, int lane) {
#pragma unroll
  for (auto& four : sums) {
    for (float& sum : four) sum = 0.0f;
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const uint32_t a[4] = {scores[2 * k][0], scores[2 * k][1], scores[2 * k + 1][0],
                           scores[2 * k + 1][1]};
    multiply_add(sums, a, tile, k, zeros, lane);
  }
}

// ---- Scores ----

// The same value, but the compiler does not know that it is loop-invariant: whatever depends on it
// is recomputed in each iteration and does not occupy registers in between.
__device__ __forceinline__ int recomputed(int value) {
  asm volatile("" : "+r"(value));
  return value;
}

// The scale and the terms of a block's scores, for exp2: all times log2(e).
struct ScoreTerms {
  static constexpr float kLog2e = 1.4426950408889634f;
  static constexpr float kLn2 = 0.6931471805599453f;
  // Replaces the scores of keys that do not exist: their probability and gradient are 0.
  static constexpr float kNoKey = -1e30f;

  // head_table: stage_table(), times log2(e).
  __device__ __forceinline__ ScoreTerms(const AttentionLayout& layout_, const float* head_table,
                                        const LaneRows& rows)
      : layout(layout_), scale(layout_.scale * kLog2e), lane_t(rows.t) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = min(rows.row(half), kTileTokens - 1);
      const int v = query / kTileWindow, u = query % kTileWindow;
      bias[half] = head_table + layout.same_position() + position(v, u);
      part[half] = layout.part(v, u);
    }
  }

  // log2(e) (scale products + bias + mask), in place of the products.
  __device__ __forceinline__ void apply(Scores& scores, int kind) const {
    const int t = recomputed(lane_t);
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        // The last tile has one key.
        const bool exists = n < kKeyTiles - 1 || (t == 0 && e == 0);
        const int back = position(row_of_key(n, t, e), column_of_key(n, t, e));
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float& score = scores[n][2 * half + e];
          score = exists ? fmaf(score, scale, bias[half][-back]) : kNoKey;
        }
      }
    }
    if (kind == 0) return;
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int key_part = layout.part(row_of_key(n, t, e), column_of_key(n, t, e));
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          if ((key_part ^ part[half]) & kind) scores[n][2 * half + e] += kMasked * kLog2e;
        }
      }
    }
  }

  // AttentionLayout::position
  static __device__ __forceinline__ int position(int v, int u) {
    return v * (2 * kTileWindow - 1) + u;
  }
  // Key 8 n + 2 t + e = 7 n + (n + 2 t + e) in the window.
  static __device__ __forceinline__ int row_of_key(int n, int t, int e) {
    return n + 2 * t + e < kTileWindow ? n : n + 1;
  }
  static __device__ __forceinline__ int column_of_key(int n, int t, int e) {
    const int behind = n + 2 * t + e;
    return behind < kTileWindow ? behind : behind - kTileWindow;
  }

  const AttentionLayout& layout;
  float scale;
  int lane_t;
  const float* bias[2];  // of the thread's queries, for key 0
  int part[2];           // AttentionLayout::part of them
};

// Over the four lanes that share a row.
__device__ __forceinline__ float row_sum(float value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
}
__device__ __forceinline__ float row_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
  return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
}

// ---- To and from memory ----

// Starts copying this thread's share of a window and head. data: the head's channels of the first
// pixel; width: distance between two pixels, in numbers.
__device__ __forceinline__ void stage_tile(Tile& tile, const Bf16* data, int width,
                                           const AttentionLayout& layout, const Window& place,
                                           const LaneRows& rows) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (!rows.exists(half)) continue;
    cp_async_16(tile + rows.row(half) * kTileStride + 8 * rows.t,
                data + layout.offset(place, rows.pixel(layout, place, half), width) + 8 * rows.t,
                true);
  }
}

// Stores 16 rows of a result, times factor, through the warp's own rows of `tile`, so that a thread
// stores 16 bytes at once.
__device__ __forceinline__ void store_rows(Bf16* data, int width, const Rows& sums,
                                           const float (&factor)[2], bool accumulates, Tile& tile,
                                           const AttentionLayout& layout, const Window& place,
                                           const LaneRows& rows) {
  __syncwarp();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (!rows.exists(half)) continue;
    Bf16* to = tile + rows.row(half) * kTileStride + 2 * rows.t;
#pragma unroll
    for (int n = 0; n < kTileDepth / 8; ++n) {
      const Floats<2> pair = {sums[n][2 * half] * factor[half],
                              sums[n][2 * half + 1] * factor[half]};
      store(to + 8 * n, pair);
    }
  }
  __syncwarp();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (!rows.exists(half)) continue;
    Bf16* to = data + layout.offset(place, rows.pixel(layout, place, half), width) + 8 * rows.t;
    store_gradient(to, load<8>(tile + rows.row(half) * kTileStride + 8 * rows.t), accumulates);
  }
}

}  // namespace countenance::cuda
