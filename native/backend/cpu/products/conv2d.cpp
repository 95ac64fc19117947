#include "backend/cpu/products/gemm_conv2d.h"
#include "backend/cpu/products/winograd.h"

namespace countenance::COUNTENANCE_CPU {

std::optional<WinogradConv> CpuBackend::winograd(const Shape& x, const Shape& weight,
                                                 const Conv2dAttributes& attributes) const {
  if (convolution_ == ConvolutionMethod::Direct) return {};
  return WinogradConv::of(x, weight, conv2d_output(x, weight, attributes), attributes);
}

size_t CpuBackend::conv2d_workspace(const Shape& x, const Shape& weight,
                                    const Conv2dAttributes& attributes) const {
  const Shape y = conv2d_output(x, weight, attributes);
  // The same block counts as conv2d_backward_weight, by the same choice of source.
  int64_t partial = 0;
  with_conv2d_rows(nullptr, x, weight, y, attributes, RowsPlan::outer(kScratchFloats),
                   [&](const auto& source, int64_t taps, int64_t depth) {
                     partial =
                         OuterPartition(taps, depth, weight[0], source.blocks()).workspace_floats();
                   });
  const OuterPartition bias(1, 1, weight[0], divide_up(y.rows(), kOuterRows));
  partial = std::max(partial, bias.workspace_floats());
  int64_t floats = std::max(transposed_elements(weight), partial);
  if (const auto conv = winograd(x, weight, attributes)) {
    floats = std::max(
        {floats, winograd_product_workspace(*conv),
         transposed_elements(weight) + winograd_product_workspace(conv->of_data_gradient()),
         winograd_weight_gradient_workspace(*conv)});
  }
  return static_cast<size_t>(floats) * sizeof(float);
}

void CpuBackend::conv2d_forward(Tensor y, Tensor x, Tensor weight, const Epilogue& epilogue,
                                const Conv2dAttributes& attributes, Tensor workspace) {
  const Workers workers{pool_, scratch(0), kScratchFloats};
  if (const auto conv = winograd(x.shape, weight.shape, attributes)) {
    return winograd_product(workers, *conv, Product::forward(y, weight, epilogue, 9, conv->depth),
                            x.f32(), false, workspace.f32());
  }
  const RowsPlan plan = RowsPlan::product(workers, y.shape[0], y.shape[1] * y.shape[2], y.shape[3]);
  with_conv2d_rows(x.f32(), x.shape, weight.shape, y.shape, attributes, plan,
                   [&](const auto& source, int64_t taps, int64_t depth) {
                     run_product(workers, Product::forward(y, weight, epilogue, taps, depth),
                                 source);
                   });
}

}  // namespace countenance::COUNTENANCE_CPU
