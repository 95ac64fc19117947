#include "backend/cpu/products/gemm_outer.h"
#include "backend/cpu/products/gemm_product.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

PlainRows rows_of(const Tensor& x, int64_t y_channels, int64_t block_rows) {
  return {x.f32(), x.shape.rows(), x.shape.channels(), y_channels, block_rows};
}

}  // namespace

size_t CpuBackend::linear_workspace(const Shape& x, const Shape& weight) const {
  const OuterPartition part(1, weight[1], weight[0], divide_up(x.rows(), kOuterRows));
  return static_cast<size_t>(std::max(transposed_elements(weight), part.workspace_floats())) *
         sizeof(float);
}

void CpuBackend::linear_forward(Tensor y, Tensor x, Tensor weight, const Epilogue& epilogue,
                                Tensor workspace) {
  if (epilogue.activation == Activation::Gelu) {
    // As a separate step: it would take just as long in the product's epilogue.
    const Tensor pre_activation = epilogue.pre_activation ? epilogue.pre_activation : y;
    Epilogue others = epilogue;
    others.activation = Activation::None;
    linear_forward(pre_activation, x, weight, others, workspace);
    return gelu_forward(y, pre_activation);
  }
  const Workers workers{pool_, scratch(0), kScratchFloats};
  run_product(workers, Product::forward(y, weight, epilogue, 1, x.shape.channels()),
              rows_of(x, y.shape.channels(), block_rows_for(x.shape.rows(), pool_.size())));
}

void CpuBackend::linear_backward_data(Gradient dx, Tensor dy, Tensor weight, Tensor workspace) {
  if (!dx.wanted()) return;
  const Workers workers{pool_, scratch(0), kScratchFloats};
  float* transposed = static_cast<float*>(workspace.data);
  transpose_weight(workers, transposed, weight, 1);
  const Product product{.taps = 1,
                        .depth = dy.shape.channels(),
                        .columns = weight.shape[1],
                        .weight = transposed,
                        .y = dx.tensor.f32(),
                        .accumulates = dx.accumulates(),
                        .y_floats = dx.tensor.elements()};
  run_product(workers, product,
              rows_of(dy, weight.shape[1], block_rows_for(dy.shape.rows(), pool_.size())));
}

void CpuBackend::linear_backward_weight(Gradient dweight, Gradient dbias, Tensor dy, Tensor x,
                                        Tensor workspace) {
  if (!dweight.wanted() && !dbias.wanted()) return;
  const Workers workers{pool_, scratch(0), kScratchFloats};
  run_outer(workers, OuterProduct::of(dweight, dbias, dy, 1, x.shape.channels(), workspace),
            rows_of(x, dy.shape.channels(), kOuterRows));
}

}  // namespace countenance::COUNTENANCE_CPU
