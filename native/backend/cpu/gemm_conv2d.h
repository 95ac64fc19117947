#pragma once

#include "backend/cpu/gemm_driver.h"

namespace countenance::COUNTENANCE_CPU {

inline Shape conv2d_output(const Shape& x, const Shape& weight, const Conv2dAttributes& conv) {
  return {x[0], (x[1] + 2 * conv.padding - weight[2]) / conv.stride + 1,
          (x[2] + 2 * conv.padding - weight[3]) / conv.stride + 1, weight[0]};
}

// What is left of a worker's scratch memory for the blocks of run_outer.
constexpr int64_t outer_scratch(int64_t scratch_floats) {
  return scratch_floats - kOuterRows * kMaxPanels * kPanel;
}

// Calls f(source, taps, depth) with the rows of x as a convolution reads them, in the cheapest form
// for its shape. x may be null when f looks at sizes only.
template <class F>
void with_conv2d_rows(const float* x, const Shape& in, const Shape& weight, const Shape& out,
                      const Conv2dAttributes& conv, int64_t block_rows, int64_t scratch_floats,
                      F&& f) {
  if (weight[2] == 1 && weight[3] == 1 && conv.stride == 1 && conv.padding == 0) {
    f(PlainRows{x, in.rows(), in[3], out[3], block_rows}, 1, in[3]);
  } else if (PaddedRows::suits(weight, out, conv, block_rows, scratch_floats)) {
    f(PaddedRows::make(x, in, weight, out, conv, block_rows), weight[2], weight[3] * weight[1]);
  } else {
    f(ConvRows{x, in[0], ConvAxis::forward(in[1], out[1], weight[2], conv),
               ConvAxis::forward(in[2], out[2], weight[3], conv), in[3], out[1], out[2], out[3],
               block_rows},
      weight[2] * weight[3], in[3]);
  }
}

}  // namespace countenance::COUNTENANCE_CPU
