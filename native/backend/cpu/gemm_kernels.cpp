#include "backend/cpu/gemm.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

constexpr int kVecsPerPanel = static_cast<int>(kPanel) / Vec::kWidth;

// The last columns of a tile that has fewer than its panels hold.
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
      max(floor, y).store(t.y + offset);  // the second operand wins when it is NaN
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
#pragma GCC unroll 1
  for (int64_t i = 0; i < count; ++i) {
    const float* a = t.a[i] + a_offset;
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

// tables[P - 1][R - 1]
template <class Kernel>
struct Tables {
  Kernel of[kMaxPanels][16] = {};
};

template <int P, int R>
constexpr void add_tiles(Tables<TileKernel>& tiles, Tables<OuterKernel>& outers) {
  if constexpr (P <= kMaxPanels) {
    tiles.of[P - 1][R - 1] = multiply_tile<R, P>;
    outers.of[P - 1][R - 1] = multiply_outer<R, P>;
    if constexpr (R < kMaxRows[P]) {
      add_tiles<P, R + 1>(tiles, outers);
    } else {
      add_tiles<P + 1, 1>(tiles, outers);
    }
  }
}

struct Kernels {
  constexpr Kernels() { add_tiles<1, 1>(tiles, outers); }
  Tables<TileKernel> tiles;
  Tables<OuterKernel> outers;
};
constexpr Kernels kKernels;

}  // namespace

TileKernel tile_kernel(int64_t rows, int64_t panels) {
  return kKernels.tiles.of[panels - 1][rows - 1];
}

OuterKernel outer_kernel(int64_t rows, int64_t panels) {
  return kKernels.outers.of[panels - 1][rows - 1];
}

}  // namespace countenance::COUNTENANCE_CPU
