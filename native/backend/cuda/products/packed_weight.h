#pragma once

#include <cstdint>

#include "core/shape.h"

namespace countenance::cuda {

// Layout of a matrix parameter: float32, one row per output, its taps outermost:
//   packed[o][(ky * kw + kx) * in + i] = weight[o][i][ky][kx]
// so that a row is the depth of a product with NHWC activations. Rows begin at multiples of 8
// numbers (16 bytes of the bfloat16 copy); the padding between depth and pitch is zero and stays
// zero: a weight's gradient has the same layout and its kernel writes zeros there.
struct PackedWeight {
  explicit PackedWeight(const Shape& shape)
      : out(shape[0]),
        in(shape[1]),
        height(shape.rank() == 4 ? shape[2] : 1),
        width(shape.rank() == 4 ? shape[3] : 1),
        depth(height * width * in),
        pitch((depth + 7) / 8 * 8) {
    require(shape.rank() == 2 || shape.rank() == 4,
            "Expected a matrix parameter (out, in) or (out, in, kh, kw) but received ", shape);
  }
  int64_t elements() const { return out * pitch; }

  int64_t out;
  int64_t in;
  int64_t height;  // of the kernel
  int64_t width;
  int64_t depth;
  int64_t pitch;  // from row to row
};

}  // namespace countenance::cuda
