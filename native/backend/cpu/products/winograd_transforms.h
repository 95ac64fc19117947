#pragma once

#include "backend/cpu/products/winograd.h"

// The transforms of winograd.h, vector by vector of channels. Each is L x L^T for a linear map L;
// the maps of the gradient of the weight are the transposes of those of the product.

namespace countenance::COUNTENANCE_CPU {

namespace winograd {

// The points +-a and +-b.
inline constexpr float kA = 0.75f;
inline constexpr float kB = 1.5f;
inline constexpr float kA2 = kA * kA;
inline constexpr float kB2 = kB * kB;
// 1 / the product of a point's differences from the others.
inline constexpr float kWeight0 = 1.0f / (kA2 * kB2);
inline constexpr float kWeightA = 1.0f / (2.0f * kA2 * (kA2 - kB2));
inline constexpr float kWeightB = 1.0f / (2.0f * kB2 * (kB2 - kA2));

// B^T
struct InputMap {
  static constexpr int kIn = 6;
  static constexpr int kOut = 6;
  static void apply(Vec* v, const Vec* d) {
    const Vec even_a = fma(Vec::all(-kB2), d[2], d[4]);
    const Vec odd_a = fma(Vec::all(-kB2), d[1], d[3]);
    const Vec even_b = fma(Vec::all(-kA2), d[2], d[4]);
    const Vec odd_b = fma(Vec::all(-kA2), d[1], d[3]);
    v[0] = fma(Vec::all(kA2 * kB2), d[0], fma(Vec::all(-kA2 - kB2), d[2], d[4]));
    v[1] = fma(Vec::all(kA), odd_a, even_a);
    v[2] = fma(Vec::all(-kA), odd_a, even_a);
    v[3] = fma(Vec::all(kB), odd_b, even_b);
    v[4] = fma(Vec::all(-kB), odd_b, even_b);
    v[5] = fma(Vec::all(kA2 * kB2), d[1], fma(Vec::all(-kA2 - kB2), d[3], d[5]));
  }
};

// G
struct WeightMap {
  static constexpr int kIn = 3;
  static constexpr int kOut = 6;
  static void apply(Vec* u, const Vec* g) {
    const Vec even_a = Vec::all(kWeightA) * fma(Vec::all(kA2), g[2], g[0]);
    const Vec even_b = Vec::all(kWeightB) * fma(Vec::all(kB2), g[2], g[0]);
    u[0] = Vec::all(kWeight0) * g[0];
    u[1] = fma(Vec::all(kWeightA * kA), g[1], even_a);
    u[2] = fma(Vec::all(-kWeightA * kA), g[1], even_a);
    u[3] = fma(Vec::all(kWeightB * kB), g[1], even_b);
    u[4] = fma(Vec::all(-kWeightB * kB), g[1], even_b);
    u[5] = g[2];
  }
};

// A^T
struct OutputMap {
  static constexpr int kIn = 6;
  static constexpr int kOut = 4;
  static void apply(Vec* y, const Vec* m) {
    const Vec even_a = m[1] + m[2];
    const Vec odd_a = m[1] - m[2];
    const Vec even_b = m[3] + m[4];
    const Vec odd_b = m[3] - m[4];
    y[0] = m[0] + even_a + even_b;
    y[1] = fma(Vec::all(kA), odd_a, Vec::all(kB) * odd_b);
    y[2] = fma(Vec::all(kA2), even_a, Vec::all(kB2) * even_b);
    y[3] = fma(Vec::all(kA2 * kA), odd_a, fma(Vec::all(kB2 * kB), odd_b, m[5]));
  }
};

// A
struct OutputGradientMap {
  static constexpr int kIn = 4;
  static constexpr int kOut = 6;
  static void apply(Vec* dm, const Vec* dy) {
    const Vec even_a = fma(Vec::all(kA2), dy[2], dy[0]);
    const Vec odd_a = fma(Vec::all(kA2), dy[3], dy[1]);
    const Vec even_b = fma(Vec::all(kB2), dy[2], dy[0]);
    const Vec odd_b = fma(Vec::all(kB2), dy[3], dy[1]);
    dm[0] = dy[0];
    dm[1] = fma(Vec::all(kA), odd_a, even_a);
    dm[2] = fma(Vec::all(-kA), odd_a, even_a);
    dm[3] = fma(Vec::all(kB), odd_b, even_b);
    dm[4] = fma(Vec::all(-kB), odd_b, even_b);
    dm[5] = dy[3];
  }
};

// G^T
struct WeightGradientMap {
  static constexpr int kIn = 6;
  static constexpr int kOut = 3;
  static void apply(Vec* dg, const Vec* du) {
    const Vec even_a = Vec::all(kWeightA) * (du[1] + du[2]);
    const Vec even_b = Vec::all(kWeightB) * (du[3] + du[4]);
    dg[0] = fma(Vec::all(kWeight0), du[0], even_a + even_b);
    dg[1] = fma(Vec::all(kWeightA * kA), du[1] - du[2], Vec::all(kWeightB * kB) * (du[3] - du[4]));
    dg[2] = fma(Vec::all(kA2), even_a, fma(Vec::all(kB2), even_b, du[5]));
  }
};

// store(i, j, the element (i, j) of L x L^T), x(i, j) = load(i, j).
template <class Map, class Load, class Store>
inline __attribute__((always_inline)) void transform(const Load& load, const Store& store) {
  Vec half[Map::kOut][Map::kIn];
#pragma GCC unroll 6
  for (int j = 0; j < Map::kIn; ++j) {
    Vec in[Map::kIn];
    Vec out[Map::kOut];
#pragma GCC unroll 6
    for (int i = 0; i < Map::kIn; ++i) in[i] = load(i, j);
    Map::apply(out, in);
#pragma GCC unroll 6
    for (int i = 0; i < Map::kOut; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < Map::kOut; ++i) {
    Vec out[Map::kOut];
    Map::apply(out, half[i]);
#pragma GCC unroll 6
    for (int j = 0; j < Map::kOut; ++j) store(i, j, out[j]);
  }
}

}  // namespace winograd

// Where the pixels of a tile lie: `side` x `side` from (y, x) on, kZeros outside the image.
template <int64_t side>
struct TilePixels {
  TilePixels(const float* x_of_image, int64_t height, int64_t width, int64_t channels, int64_t y,
             int64_t x) {
    for (int64_t i = 0; i < side; ++i) {
      for (int64_t j = 0; j < side; ++j) {
        const bool inside = y + i >= 0 && y + i < height && x + j >= 0 && x + j < width;
        at[i * side + j] = inside ? x_of_image + ((y + i) * width + x + j) * channels : kZeros;
      }
    }
  }
  const float* at[side * side];
};

using InputPixels = TilePixels<kTileSide>;
using OutputPixels = TilePixels<kTileOutputs>;

inline InputPixels input_pixels(const WinogradConv& conv, const float* x, int64_t number) {
  const WinogradTile tile(conv, number);
  return {x + tile.image * conv.in_height * conv.in_width * conv.depth,
          conv.in_height,
          conv.in_width,
          conv.depth,
          tile.y - conv.padding,
          tile.x - conv.padding};
}

// out[position * stride + c - begin] = L x L^T for the channels begin .. end - 1 of a tile's pixels
// x: B^T d B by InputMap, A dY A^T by OutputGradientMap.
template <class Map>
void transform_pixels(float* out, int64_t stride, const TilePixels<Map::kIn>& pixels, int64_t begin,
                      int64_t end) {
  static_assert(Map::kOut == kTileSide);
  for (int64_t c = begin; c < end; c += Vec::kWidth) {
    winograd::transform<Map>(
        [&](int i, int j) { return Vec::load(pixels.at[i * Map::kIn + j] + c); },
        [&](int i, int j, Vec value) {
          value.store(out + (i * kTileSide + j) * stride + (c - begin));
        });
  }
}

// The registers of a matrix product: R rows by P panels of 16 columns.
template <int R, int P>
struct RegisterTile {
  static constexpr int kPanelVecs = static_cast<int>(kPanel) / Vec::kWidth;
  static constexpr int kVecs = P * kPanelVecs;

  // The sum over i < count of a[r a_row + i a_step] b[panel b_panel + i b_step + column].
  static inline __attribute__((always_inline)) RegisterTile sum(const float* a, int64_t a_row,
                                                                int64_t a_step, const float* b,
                                                                int64_t b_panel, int64_t b_step,
                                                                int64_t count) {
    RegisterTile tile;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int i = 0; i < kVecs; ++i) tile.at[r][i] = Vec::zero();
    }
#pragma GCC unroll 1
    for (int64_t k = 0; k < count; ++k, a += a_step, b += b_step) {
      Vec columns[kVecs];
#pragma GCC unroll 16
      for (int i = 0; i < kVecs; ++i)
        columns[i] = Vec::load(b + i / kPanelVecs * b_panel + column(i));
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const Vec x = Vec::all(a[r * a_row]);
#pragma GCC unroll 16
        for (int i = 0; i < kVecs; ++i) tile.at[r][i] = fma(x, columns[i], tile.at[r][i]);
      }
    }
    return tile;
  }

  // store(the address of a vector, its value), row r of a panel at c + r c_row + panel c_panel.
  template <class Store>
  inline __attribute__((always_inline)) void store(float* c, int64_t c_row, int64_t c_panel,
                                                   const Store& store) const {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int i = 0; i < kVecs; ++i) {
        store(c + r * c_row + i / kPanelVecs * c_panel + column(i), at[r][i]);
      }
    }
  }

  static constexpr int64_t column(int i) { return i % kPanelVecs * Vec::kWidth; }

  Vec at[R][kVecs];
};

}  // namespace countenance::COUNTENANCE_CPU
