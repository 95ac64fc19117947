#pragma once

#include "backend/cpu/products/gemm_outer.h"
#include "backend/cpu/products/gemm_product.h"

namespace countenance::COUNTENANCE_CPU {

inline Shape conv2d_output(const Shape& x, const Shape& weight, const Conv2dAttributes& conv) {
  return {x[0], (x[1] + 2 * conv.padding - weight[2]) / conv.stride + 1,
          (x[2] + 2 * conv.padding - weight[3]) / conv.stride + 1, weight[0]};
}

// How a convolution's rows are split.
struct RowsPlan {
  int64_t block_rows;
  int64_t scratch_floats;  // per block
  int64_t group;           // images that advance together

  // For a product with `columns` columns.
  static RowsPlan product(const Workers& workers, int64_t batch, int64_t pixels, int64_t columns) {
    RowsPlan plan{block_rows_for(batch * pixels, workers.pool.size()), workers.scratch_floats, 1};
    // It takes as many images as a tile has rows to fill it with one pixel.
    const PanelGroups groups(columns, kMaxPanels);
    const int64_t tile_rows = kMaxRows[divide_up(groups.panels, groups.count)];
    if (batch >= (tile_rows + 1) / 2) plan.group = std::min(batch, tile_rows);
    return plan;
  }
  static RowsPlan outer(int64_t scratch_floats) {
    return {kOuterRows, scratch_floats - kOuterScratch, 1};
  }
};

// Calls f(source, taps, depth) with the rows of x as a convolution reads them, in the cheapest form
// for its shape. x may be null if f only looks at sizes.
template <class F>
void with_conv2d_rows(const float* x, const Shape& in, const Shape& weight, const Shape& out,
                      const Conv2dAttributes& conv, const RowsPlan& plan, F&& f) {
  if (weight[2] == 1 && weight[3] == 1 && conv.stride == 1 && conv.padding == 0) {
    f(PlainRows{x, in.rows(), in[3], out[3], plan.block_rows}, 1, in[3]);
  } else if (PaddedRows::suits(weight, out, conv, plan.block_rows, plan.scratch_floats)) {
    f(PaddedRows::make(x, in, weight, out, conv, plan.block_rows), weight[2],
      weight[3] * weight[1]);
  } else {
    f(ConvRows{x, in[0], ConvAxis::forward(in[1], out[1], weight[2], conv),
               ConvAxis::forward(in[2], out[2], weight[3], conv), in[3], out[1], out[2], out[3],
               plan.block_rows, plan.group},
      weight[2] * weight[3], in[3]);
  }
}

}  // namespace countenance::COUNTENANCE_CPU
