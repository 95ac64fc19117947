#include "backend/cpu/products/gemm_conv2d.h"
#include "backend/cpu/products/winograd.h"

namespace countenance::COUNTENANCE_CPU {

// dx = dy convolved with the transposed weight. Input pixels are processed class by class, so that
// a stride causes no multiplication by zero: a class reads only the taps that reach it.
void CpuBackend::conv2d_backward_data(Gradient dx, Tensor dy, Tensor weight,
                                      const Conv2dAttributes& attributes, Tensor workspace) {
  if (!dx.wanted()) return;
  const Shape& in = dx.tensor.shape;
  const Shape& out = dy.shape;
  const int64_t stride = attributes.stride;
  const Workers workers{pool_, scratch(0), kScratchFloats};
  float* transposed = static_cast<float*>(workspace.data);
  transpose_weight(workers, transposed, weight, stride);

  Product product{.depth = out[3],
                  .columns = in[3],
                  .weight = transposed,
                  .y = dx.tensor.f32(),
                  .accumulates = dx.accumulates(),
                  .y_floats = dx.tensor.elements()};
  if (const auto conv = winograd(in, weight.shape, attributes)) {
    return winograd_product(workers, conv->of_data_gradient(), product, dy.f32(), true,
                            transposed + transposed_elements(weight.shape));
  }
  const int64_t tap_floats = panels_of(in[3]) * kPanel * out[3];
  const int64_t kernel_area = weight.shape[2] * weight.shape[3];
  if (kernel_area == 1 && stride == 1 && attributes.padding == 0) {
    product.taps = 1;
    run_product(
        workers, product,
        PlainRows{dy.f32(), out.rows(), out[3], in[3], block_rows_for(out.rows(), pool_.size())});
    return;
  }
  for (int64_t y = 0; y < stride; ++y) {
    const TapClass rows(y, stride, weight.shape[2]);
    const ConvAxis height = ConvAxis::backward(in[1], out[1], rows, attributes);
    for (int64_t x = 0; x < stride; ++x) {
      const TapClass columns(x, stride, weight.shape[3]);
      const ConvAxis width = ConvAxis::backward(in[2], out[2], columns, attributes);
      product.taps = rows.count * columns.count;
      const RowsPlan plan = RowsPlan::product(workers, in[0], height.count * width.count, in[3]);
      ConvRows source{dy.f32(), in[0], height, width,           out[3],
                      in[1],    in[2], in[3],  plan.block_rows, plan.group};
      if (product.taps > 0) {
        run_product(workers, product, source);
        product.weight += product.taps * tap_floats;
      } else if (!dx.accumulates()) {
        clear_rows(workers, dx.tensor.f32(), source);
      }
    }
  }
}

}  // namespace countenance::COUNTENANCE_CPU
