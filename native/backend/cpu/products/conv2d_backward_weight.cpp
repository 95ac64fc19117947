#include "backend/cpu/products/gemm_conv2d.h"
#include "backend/cpu/products/winograd.h"

namespace countenance::COUNTENANCE_CPU {

void CpuBackend::conv2d_backward_weight(Gradient dweight, Gradient dbias, Tensor dy, Tensor x,
                                        const Conv2dAttributes& attributes, Tensor workspace) {
  if (!dweight.wanted() && !dbias.wanted()) return;
  const Workers workers{pool_, scratch(0), kScratchFloats};
  const auto sum_bias = [&] {
    if (!dbias.wanted()) return;
    const PlainRows rows{nullptr, dy.shape.rows(), 1, dy.shape.channels(), kOuterRows};
    run_outer(workers, OuterProduct::of({}, dbias, dy, 1, 1, workspace), rows);
  };
  if (!dweight.wanted()) return sum_bias();
  if (const auto conv = winograd(x.shape, dweight.tensor.shape, attributes)) {
    winograd_weight_gradient(workers, *conv, dweight, dy.f32(), x.f32(), workspace.f32());
    return sum_bias();
  }
  with_conv2d_rows(
      x.f32(), x.shape, dweight.tensor.shape, dy.shape, attributes, RowsPlan::outer(kScratchFloats),
      [&](const auto& source, int64_t taps, int64_t depth) {
        // The bias is summed in blocks of kOuterRows, with or without a weight.
        const bool together = std::decay_t<decltype(source)>::kEvenBlocks;
        run_outer(
            workers,
            OuterProduct::of(dweight, together ? dbias : Gradient{}, dy, taps, depth, workspace),
            source);
        if (!together) sum_bias();
      });
}

}  // namespace countenance::COUNTENANCE_CPU
