#pragma once

#include "backend/cpu/vectors/vector_math.h"

// Products of matrices that live in the first-level cache (a window's queries, keys, scores).

namespace countenance::COUNTENANCE_CPU {

// A matrix whose element (m, k) is at data[m row + k column]: a matrix or its transpose.
struct Strided {
  const float* data;
  int64_t row;
  int64_t column;
};

// Registers hold a tile of M rows by N vectors of C: the largest that fits.
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
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sums[m][n] = Vec::zero();
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vec row[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) row[n] = Vec::load(b + k * ldb + n * Vec::kWidth);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const Vec factor = Vec::all(a.data[m * a.row + k * a.column]);
#pragma GCC unroll 4
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
  // Tiles of nearly equal height: a last tile of one row would stall on its own sums.
  const int64_t tiles = (rows + tile_rows(N) - 1) / tile_rows(N);
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t begin = t * rows / tiles;
    const int64_t end = (t + 1) * rows / tiles;
    multiply_rows<N>(end - begin, c + begin * ldc, ldc, {a.data + begin * a.row, a.row, a.column},
                     b, ldb, depth);
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

// Transposes a block of kWidth vectors.
#if defined(COUNTENANCE_ISA_AVX512)
inline void transpose(Vec (&v)[16]) {
  __m512 quads[4][4];  // [rows 4g..4g+3][c]: lane L holds column 4L + c of the four rows
  for (int g = 0; g < 4; ++g) {
    const __m512 low01 = _mm512_unpacklo_ps(v[4 * g].v, v[4 * g + 1].v);
    const __m512 high01 = _mm512_unpackhi_ps(v[4 * g].v, v[4 * g + 1].v);
    const __m512 low23 = _mm512_unpacklo_ps(v[4 * g + 2].v, v[4 * g + 3].v);
    const __m512 high23 = _mm512_unpackhi_ps(v[4 * g + 2].v, v[4 * g + 3].v);
    quads[g][0] =
        _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(low01), _mm512_castps_pd(low23)));
    quads[g][1] =
        _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(low01), _mm512_castps_pd(low23)));
    quads[g][2] =
        _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(high01), _mm512_castps_pd(high23)));
    quads[g][3] =
        _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(high01), _mm512_castps_pd(high23)));
  }
  for (int c = 0; c < 4; ++c) {
    const __m512 even01 = _mm512_shuffle_f32x4(quads[0][c], quads[1][c], 0x88);
    const __m512 odd01 = _mm512_shuffle_f32x4(quads[0][c], quads[1][c], 0xdd);
    const __m512 even23 = _mm512_shuffle_f32x4(quads[2][c], quads[3][c], 0x88);
    const __m512 odd23 = _mm512_shuffle_f32x4(quads[2][c], quads[3][c], 0xdd);
    v[c].v = _mm512_shuffle_f32x4(even01, even23, 0x88);
    v[4 + c].v = _mm512_shuffle_f32x4(odd01, odd23, 0x88);
    v[8 + c].v = _mm512_shuffle_f32x4(even01, even23, 0xdd);
    v[12 + c].v = _mm512_shuffle_f32x4(odd01, odd23, 0xdd);
  }
}
#elif defined(COUNTENANCE_ISA_AVX2)
inline void transpose(Vec (&v)[8]) {
  __m256 quads[2][4];  // [rows 4g..4g+3][c]: lane L holds column 4L + c of the four rows
  for (int g = 0; g < 2; ++g) {
    const __m256 low01 = _mm256_unpacklo_ps(v[4 * g].v, v[4 * g + 1].v);
    const __m256 high01 = _mm256_unpackhi_ps(v[4 * g].v, v[4 * g + 1].v);
    const __m256 low23 = _mm256_unpacklo_ps(v[4 * g + 2].v, v[4 * g + 3].v);
    const __m256 high23 = _mm256_unpackhi_ps(v[4 * g + 2].v, v[4 * g + 3].v);
    quads[g][0] = _mm256_shuffle_ps(low01, low23, 0x44);
    quads[g][1] = _mm256_shuffle_ps(low01, low23, 0xee);
    quads[g][2] = _mm256_shuffle_ps(high01, high23, 0x44);
    quads[g][3] = _mm256_shuffle_ps(high01, high23, 0xee);
  }
  for (int c = 0; c < 4; ++c) {
    v[c].v = _mm256_permute2f128_ps(quads[0][c], quads[1][c], 0x20);
    v[4 + c].v = _mm256_permute2f128_ps(quads[0][c], quads[1][c], 0x31);
  }
}
#else
inline void transpose(Vec (&v)[4]) {
  for (int i = 0; i < 4; ++i) {
    for (int j = i + 1; j < 4; ++j) {
      const float upper = v[i].v[j];
      v[i].v[j] = v[j].v[i];
      v[j].v[i] = upper;
    }
  }
}
#endif

inline int64_t padded(int64_t n) { return (n + Vec::kWidth - 1) / Vec::kWidth * Vec::kWidth; }

}  // namespace countenance::COUNTENANCE_CPU
