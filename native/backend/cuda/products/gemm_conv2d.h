#pragma once

#include "backend/attributes.h"
#include "backend/cuda/products/gemm.h"
#include "backend/cuda/products/packed_weight.h"

namespace countenance::cuda {

// The sizes of a convolution and of its three products.
struct ConvSizes {
  ConvSizes(const Shape& x, const Shape& weight, const Conv2dAttributes& attributes)
      : batch(x[0]),
        height(x[1]),
        width(x[2]),
        packed(weight),
        in(packed.in),
        out(packed.out),
        conv(attributes),
        y_height((height + 2 * conv.padding - packed.height) / conv.stride + 1),
        y_width((width + 2 * conv.padding - packed.width) / conv.stride + 1) {
    to_int(height * width * in);
    to_int(y_height * y_width * out);
  }

  // A linear layer over the pixels.
  bool is_linear() const {
    return packed.height == 1 && packed.width == 1 && conv.stride == 1 && conv.padding == 0;
  }
  int64_t x_rows() const { return batch * height * width; }
  int64_t y_rows() const { return batch * y_height * y_width; }

  GemmSize forward(DType dtype) const { return {y_rows(), out, packed.depth, is_whole(dtype, in)}; }
  GemmSize data(DType dtype) const {
    const int64_t phases = conv.stride * conv.stride;
    return {x_rows(), in, divide_up(packed.height * packed.width * out, phases),
            is_whole(dtype, in) && is_whole(dtype, out)};
  }
  GemmSize weight(DType dtype) const {
    return {out, packed.pitch, y_rows(), is_whole(dtype, in) && is_whole(dtype, out)};
  }

  // x as the forward product reads it.
  template <class T, bool Whole>
  ConvRows<T, Whole> rows_of(const T* x) const {
    const auto axis = [&](int64_t size, int64_t grid, int64_t taps) {
      return ConvAxis{to_int(size),  to_int(conv.stride), -to_int(conv.padding), 1,
                      Divisor(grid), Divisor(taps)};
    };
    return {x,
            axis(height, y_height, packed.height),
            axis(width, y_width, packed.width),
            Divisor(in),
            to_int(y_rows()),
            to_int(packed.depth)};
  }

  int64_t batch, height, width;
  PackedWeight packed;
  int64_t in, out;
  Conv2dAttributes conv;
  int64_t y_height, y_width;
};

}  // namespace countenance::cuda
