#pragma once

#include "backend/cuda/device/kernel_types.h"
#include "backend/cuda/device/vector.h"

namespace countenance::cuda {

// Channel moments are computed per block of this many rows of a product.
inline constexpr int kMomentRows = 64;

// Moments of y (rows, columns) by blocks of rows: each column's mean and its sum of squares about
// it, both (blocks, columns).
struct Moments {
  double* mean;  // null: not wanted
  float* square;
};

// What Epilogue::statistics holds: the moments of blocks of kMomentRows, then room for those of
// groups of blocks, few enough for batch norm to sum.
struct StatisticsLayout {
  static constexpr int64_t kMostGroups = 256;

  StatisticsLayout(int64_t rows, int64_t columns_)
      : columns(columns_),
        blocks(divide_up<int64_t>(rows, kMomentRows)),
        group(divide_up(blocks, kMostGroups)),
        groups(divide_up(blocks, std::max<int64_t>(group, 1))) {}

  size_t bytes() const { return size_of(blocks) + (group > 1 ? size_of(groups) : 0); }
  Moments moments(float* memory) const { return at(memory, 0, blocks); }
  Moments merged(float* memory) const { return at(memory, size_of(blocks), groups); }

  int64_t columns, blocks;
  int64_t group;  // blocks of a group
  int64_t groups;

 private:
  // Bytes for the moments of this many blocks: whole doubles.
  size_t size_of(int64_t count) const {
    const size_t numbers = static_cast<size_t>(count * columns);
    return numbers * sizeof(double) + divide_up<size_t>(numbers, 2) * 2 * sizeof(float);
  }
  Moments at(float* memory, size_t offset, int64_t count) const {
    if (!memory) return {};
    double* mean = reinterpret_cast<double*>(reinterpret_cast<char*>(memory) + offset);
    return {mean, reinterpret_cast<float*>(mean + count * columns)};
  }
};

__device__ __forceinline__ float rounded(float x, const float*) { return x; }
__device__ __forceinline__ float rounded(float x, const __nv_bfloat16*) {
  return __bfloat162float(__float2bfloat16_rn(x));
}

// The moments of a tile in shared memory that begins at (row, column) of y, computed from its
// numbers as they are stored. Sums differences from the first number: about zero, a large mean
// would cost the variance its digits.
template <class Tile, class Y>
__device__ __forceinline__ void store_moments(const Moments& moments, const float* tile, const Y* y,
                                              int row, int column, int rows, int columns) {
  static_assert(Tile::kM % kMomentRows == 0);
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kM / kMomentRows * Tile::kN;
       i += Tile::kThreads) {
    const int c = i % Tile::kN;
    const int first = i / Tile::kN * kMomentRows;
    const int n = min(kMomentRows, rows - row - first);
    if (n <= 0 || column + c >= columns) continue;
    const float* at = tile + first * Tile::kPitch + c;
    const float shift = rounded(*at, y);
    float sum = 0;
    float square = 0;
#pragma unroll 4
    for (int r = 1; r < n; ++r) {
      const float d = rounded(at[r * Tile::kPitch], y) - shift;
      sum += d;
      square = fmaf(d, d, square);
    }
    const float offset = sum / static_cast<float>(n);
    const int64_t place = static_cast<int64_t>((row + first) / kMomentRows) * columns + column + c;
    moments.mean[place] = static_cast<double>(shift) + offset;
    moments.square[place] = square - sum * offset;
  }
}

}  // namespace countenance::cuda
