#pragma once

#include "backend/cpu/vector_math.h"

// Products of matrices that live in the first-level cache (a window's queries, keys, scores).

namespace countenance::COUNTENANCE_CPU {

// A matrix whose element (m, k) stands at data[m row + k column]: a matrix or its transpose.
struct Strided {
  const float* data;
  int64_t row;
  int64_t column;
};

// Registers hold a tile of M rows and N vectors of C; the largest tiles that fit.
#if defined(COUNTENANCE_ISA_AVX512)
inline constexpr int kTileVectors = 4;
constexpr int tile_rows(int vectors) { return vectors == 4 ? 6 : vectors == 3 ? 8 : 12; }
#else
inline constexpr int kTileVectors = 2;
constexpr int tile_rows(int vectors) { return vectors == 2 ? 6 : 8; }
#endif

template <int M, int N>
inline void multiply_tile(float* c, int64_t ldc, Strided a, const float* b, int64_t ldb,
                          int64_t depth) {
  Vec sums[M][N];
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) sums[m][n] = Vec::zero();
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vec row[N];
    for (int n = 0; n < N; ++n) row[n] = Vec::load(b + k * ldb + n * Vec::kWidth);
    for (int m = 0; m < M; ++m) {
      const Vec factor = Vec::all(a.data[m * a.row + k * a.column]);
      for (int n = 0; n < N; ++n) sums[m][n] = fma(factor, row[n], sums[m][n]);
    }
  }
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) sums[m][n].store(c + m * ldc + n * Vec::kWidth);
  }
}

template <int N, int M = tile_rows(N)>
inline void multiply_rows(int64_t rows, float* c, int64_t ldc, Strided a, const float* b,
                          int64_t ldb, int64_t depth) {
  if constexpr (M > 0) {
    if (rows == M) return multiply_tile<M, N>(c, ldc, a, b, ldb, depth);
    multiply_rows<N, M - 1>(rows, c, ldc, a, b, ldb, depth);
  }
}

template <int N>
inline void multiply_columns(float* c, int64_t ldc, Strided a, const float* b, int64_t ldb,
                             int64_t rows, int64_t depth) {
  // Tiles of nearly equal height: a last tile of one row would wait for its own sums.
  const int64_t tiles = (rows + tile_rows(N) - 1) / tile_rows(N);
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t begin = t * rows / tiles;
    const int64_t end = (t + 1) * rows / tiles;
    multiply_rows<N>(end - begin, c + begin * ldc, ldc,
                     {a.data + begin * a.row, a.row, a.column}, b, ldb, depth);
  }
}

// C (rows x columns) = A (rows x depth) B (depth x columns). `columns` is a multiple of the vector
// width; B and C are row-major with the strides ldb and ldc.
inline void multiply(float* c, int64_t ldc, Strided a, const float* b, int64_t ldb, int64_t rows,
                     int64_t columns, int64_t depth) {
  int64_t vectors = columns / Vec::kWidth;
  for (; vectors >= kTileVectors; vectors -= kTileVectors) {
    multiply_columns<kTileVectors>(c, ldc, a, b, ldb, rows, depth);
    c += kTileVectors * Vec::kWidth;
    b += kTileVectors * Vec::kWidth;
  }
#if defined(COUNTENANCE_ISA_AVX512)
  if (vectors == 3) return multiply_columns<3>(c, ldc, a, b, ldb, rows, depth);
  if (vectors == 2) return multiply_columns<2>(c, ldc, a, b, ldb, rows, depth);
#endif
  if (vectors == 1) multiply_columns<1>(c, ldc, a, b, ldb, rows, depth);
}

inline int64_t padded(int64_t n) {
  return (n + Vec::kWidth - 1) / Vec::kWidth * Vec::kWidth;
}

}  // namespace countenance::COUNTENANCE_CPU
