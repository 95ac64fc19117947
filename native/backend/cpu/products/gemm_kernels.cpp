#include "backend/cpu/products/gemm.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

constexpr int kVecsPerPanel = static_cast<int>(kPanel) / Vec::kWidth;

void store_streaming(float* p, Vec v) {
#if defined(COUNTENANCE_ISA_AVX512)
  _mm512_stream_ps(p, v.v);
#elif defined(COUNTENANCE_ISA_AVX2)
  _mm256_stream_ps(p, v.v);
#else
  v.store(p);
#endif
}

// Stores the last columns, for a tile with fewer columns than its panels hold.
void store_part(const Tile& t, const float* sums, int64_t rows, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) {
    float* y = t.y + t.y_offsets[r];
    for (int64_t c = 0; c < t.columns; ++c) {
      float v = sums[r * stride + c];
      if (t.add) v += y[c];
      if (t.scale) v *= t.scale[c];
      if (t.shift) v += t.shift[c];
      if (t.residual) v += t.residual[t.y_offsets[r] + c];
      if (t.relu && v < 0.0f) v = 0.0f;
      y[c] = v;
    }
  }
}

template <int R, int P>
void multiply_tile(const Tile& t) {
  constexpr int kVecs = P * kVecsPerPanel;
  Vec sums[R][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) sums[r][v] = Vec::zero();
  }
  const int64_t b_stride = t.b_stride;
  const int64_t depth = t.depth;
  for (int64_t i = 0; i < t.tap_count; ++i) {
    const int64_t tap = t.taps[i];
    const float* const* rows = t.a + tap * t.a_stride;
    const float* b = t.b + tap * depth * kPanel;
    const float* a[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) a[r] = rows[r];
#pragma GCC unroll 1
    for (int64_t k = 0; k < depth; ++k) {
      Vec columns[kVecs];
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) {
        columns[v] =
            Vec::load(b + (v / kVecsPerPanel) * b_stride + (v % kVecsPerPanel) * Vec::kWidth);
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const Vec x = Vec::all(a[r][k]);
#pragma GCC unroll 16
        for (int v = 0; v < kVecs; ++v) sums[r][v] = fma(x, columns[v], sums[r][v]);
      }
      b += kPanel;
    }
  }
  if (t.columns < P * kPanel) {
    float buffer[R * P * kPanel];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) sums[r][v].store(buffer + r * P * kPanel + v * Vec::kWidth);
    }
    store_part(t, buffer, R, P * kPanel);
    return;
  }
  const Vec floor = Vec::all(t.relu ? 0.0f : -std::numeric_limits<float>::infinity());
#pragma GCC unroll 16
  for (int v = 0; v < kVecs; ++v) {
    const Vec scale = t.scale ? Vec::load(t.scale + v * Vec::kWidth) : Vec::all(1.0f);
    const Vec shift = t.shift ? Vec::load(t.shift + v * Vec::kWidth) : Vec::zero();
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const int64_t offset = t.y_offsets[r] + v * Vec::kWidth;
      Vec y = sums[r][v];
      if (t.add) y = y + Vec::load(t.y + offset);
      y = fma(y, scale, shift);
      if (t.residual) y = y + Vec::load(t.residual + offset);
      y = max(floor, y);  // the second operand wins when it is NaN
      if (t.stream) {
        store_streaming(t.y + offset, y);
      } else {
        y.store(t.y + offset);
      }
    }
  }
}

template <int R, int P>
void multiply_outer(const OuterTile& t) {
  constexpr int kVecs = P * kVecsPerPanel;
  Vec sums[R][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) sums[r][v] = Vec::zero();
  }
  if (t.add) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) __builtin_prefetch(t.c + p * t.c_stride + r * kPanel);
    }
  }
  const int64_t count = t.count;
  const int64_t b_stride = t.b_stride;
  const int64_t a_offset = t.a_offset;
  const char* ahead = t.ahead;
  const int64_t ahead_step = t.ahead_step;
#pragma GCC unroll 1
  for (int64_t i = 0; i < count; ++i) {
    __builtin_prefetch(ahead, 0, 2);
    ahead += ahead_step;
    const float* a = t.a[i] + a_offset;
    asm("" : "+r"(a));  // one address and R displacements, not R addresses
    const float* b = t.b + t.rows[i] * b_stride;
    Vec columns[kVecs];
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) columns[v] = Vec::load(b + v * Vec::kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec x = Vec::all(a[r]);
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) sums[r][v] = fma(x, columns[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) {
      float* c =
          t.c + (v / kVecsPerPanel) * t.c_stride + r * kPanel + (v % kVecsPerPanel) * Vec::kWidth;
      Vec sum = sums[r][v];
      if (t.add) sum = sum + Vec::load(c);
      sum.store(c);
    }
  }
}

// of[P - 1][R - 1]
template <class Kernel>
struct Table {
  Kernel of[4][16] = {};
};

template <int P = 1, int R = 1>
constexpr void add_tiles(Table<TileKernel>& table) {
  if constexpr (P <= kMaxPanels) {
    table.of[P - 1][R - 1] = multiply_tile<R, P>;
    if constexpr (R < kMaxRows[P]) {
      add_tiles<P, R + 1>(table);
    } else {
      add_tiles<P + 1, 1>(table);
    }
  }
}

template <int P = 1, int R = 1>
constexpr void add_outer_tiles(Table<OuterKernel>& table) {
  if constexpr (P <= kOuterPanels) {
    table.of[P - 1][R - 1] = multiply_outer<R, P>;
    if constexpr (R < kOuterMaxRows[P]) {
      add_outer_tiles<P, R + 1>(table);
    } else {
      add_outer_tiles<P + 1, 1>(table);
    }
  }
}

struct Kernels {
  constexpr Kernels() {
    add_tiles(tiles);
    add_outer_tiles(outers);
  }
  Table<TileKernel> tiles;
  Table<OuterKernel> outers;
};
constexpr Kernels kKernels;

}  // namespace

void finish_streaming() {
#if defined(COUNTENANCE_ISA_AVX512) || defined(COUNTENANCE_ISA_AVX2)
  _mm_sfence();
#endif
}

TileKernel tile_kernel(int64_t rows, int64_t panels) {
  return kKernels.tiles.of[panels - 1][rows - 1];
}

OuterKernel outer_kernel(int64_t rows, int64_t panels) {
  return kKernels.outers.of[panels - 1][rows - 1];
}

}  // namespace countenance::COUNTENANCE_CPU
