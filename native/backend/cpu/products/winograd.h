#pragma once

#include <optional>

#include "backend/cpu/products/gemm_product.h"

// 3x3 convolutions of stride 1 with fewer multiplications: F(4x4, 3x3) of Winograd, in the form of
// Lavin & Gray 2016 (arXiv:1509.09308). A tile of 4x4 outputs Y comes from 6x6 inputs d and the
// kernel g by 36 multiplications per pair of channels instead of 144:
//
//   Y = A^T (U * V) A,  U = G g G^T,  V = B^T d B
//
// `*` is element by element. Each of the 36 elements, a `position`, is a matrix product of its own:
// M[position] (tiles, columns) = V[position] (tiles, depth) U[position] (depth, columns).
// The gradient of the data is the same convolution of dy with the kernel turned by 180 degrees and
// its channels exchanged. The gradient of the weight is
// dg = G^T (sum over tiles of V * (A dY A^T)) G.
//
// The matrices follow from the points 0, +-3/4, +-3/2 and infinity (Cook-Toom), which give half
// the error of the usual 0, +-1, +-2 and infinity and are exact in float32.

namespace countenance::COUNTENANCE_CPU {

inline constexpr int64_t kTileSide = 6;     // inputs of a tile
inline constexpr int64_t kTileOutputs = 4;  // per dimension
inline constexpr int64_t kPositions = kTileSide * kTileSide;

// One convolution, or the gradient of its data.
struct WinogradConv {
  int64_t batch;
  int64_t in_height, in_width, depth;
  int64_t out_height, out_width, columns;
  int64_t padding;

  // Absent where the direct product is as fast, or where the kernel, stride or channels do not fit.
  // A function of the shapes only.
  static std::optional<WinogradConv> of(const Shape& x, const Shape& weight, const Shape& y,
                                        const Conv2dAttributes& conv);
  WinogradConv of_data_gradient() const {
    return {batch, out_height, out_width, columns, in_height, in_width, depth, 2 - padding};
  }

  int64_t tiles_down() const { return divide_up(out_height, kTileOutputs); }
  int64_t tiles_across() const { return divide_up(out_width, kTileOutputs); }
  int64_t tiles() const { return batch * tiles_down() * tiles_across(); }
};

// A tile's image and the outputs that it begins with.
struct WinogradTile {
  WinogradTile(const WinogradConv& conv, int64_t number)
      : image(number / (conv.tiles_down() * conv.tiles_across())),
        y(number / conv.tiles_across() % conv.tiles_down() * kTileOutputs),
        x(number % conv.tiles_across() * kTileOutputs) {}
  int64_t image, y, x;
};

// y = epilogue of the convolution of x; p as for the direct product. `turned`: the weight's taps
// are in the order of the gradient of the data.
void winograd_product(const Workers& workers, const WinogradConv& conv, const Product& p,
                      const float* x, bool turned, float* workspace);
int64_t winograd_product_workspace(const WinogradConv& conv);

// dweight [panels][9][depth][16] = (dweight if accumulates) + the gradient.
void winograd_weight_gradient(const Workers& workers, const WinogradConv& conv, Gradient dweight,
                              const float* dy, const float* x, float* workspace);
int64_t winograd_weight_gradient_workspace(const WinogradConv& conv);

}  // namespace countenance::COUNTENANCE_CPU
