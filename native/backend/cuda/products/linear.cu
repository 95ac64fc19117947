#include "backend/cuda/backend_class.h"
#include "backend/cuda/products/gemm.h"
#include "backend/cuda/products/gemm_bias.h"
#include "backend/cuda/products/packed_weight.h"

namespace countenance::cuda {

namespace {

struct LinearSizes {
  LinearSizes(const Shape& x, const Shape& weight)
      : rows(x.rows()), packed(weight), in(packed.in), out(packed.out) {}

  GemmSize forward(DType dtype) const { return {rows, out, in, is_whole(dtype, in)}; }
  GemmSize data(DType dtype) const { return {rows, in, out, is_whole(dtype, out)}; }
  GemmSize weight(DType dtype) const {
    return {out, packed.pitch, rows, is_whole(dtype, in) && is_whole(dtype, out)};
  }

  int64_t rows;
  PackedWeight packed;
  int64_t in, out;
};

}  // namespace

size_t CudaBackend::linear_workspace(const Shape& x, const Shape& weight) const {
  const LinearSizes sizes(x, weight);
  const auto bytes = [&](GemmSize (LinearSizes::*product)(DType) const) {
    return gemm_workspace((sizes.*product)(DType::F32), (sizes.*product)(DType::BF16),
                          gemm_machine());
  };
  return std::max({bytes(&LinearSizes::forward), bytes(&LinearSizes::data),
                   bytes(&LinearSizes::weight),
                   bias_gradient_workspace(sizes.rows, sizes.out, multiprocessors_)});
}

void CudaBackend::linear_forward(Tensor y, Tensor x, Tensor weight, const Epilogue& epilogue,
                                 Tensor workspace) {
  const LinearSizes sizes(x.shape, weight.shape);
  const GemmSize size = sizes.forward(x.dtype);
  const GemmPlan plan = plan_gemm(x.dtype, size, gemm_machine());
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto b = packed_rows(weights_as<T>(weight), sizes.packed);
    const auto target = target_of<T>(y, epilogue, workspace, plan.slices);
    with_whole(size.whole, [&](auto whole) {
      const auto a = plain_rows<whole>(data<T>(x), sizes.rows, sizes.in);
      run_gemm("linear_forward", queue(), plan, 1,
               product_of<Major::Depth, Major::Depth>(a, b, size), target);
    });
  });
}

void CudaBackend::linear_backward_data(Gradient dx, Tensor dy, Tensor weight, Tensor workspace) {
  if (!dx.wanted()) return;
  const LinearSizes sizes(dx.tensor.shape, weight.shape);
  const GemmSize size = sizes.data(dy.dtype);
  const GemmPlan plan = plan_gemm(dy.dtype, size, gemm_machine());
  with_activation(dy.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto b = packed_rows(weights_as<T>(weight), sizes.packed);
    const auto target = target_of<T>(dx, size.rows, size.columns, workspace, plan.slices);
    with_whole(size.whole, [&](auto whole) {
      const auto a = plain_rows<whole>(data<T>(dy), sizes.rows, sizes.out);
      run_gemm("linear_backward_data", queue(), plan, 1,
               product_of<Major::Depth, Major::Width>(a, b, size), target);
    });
  });
}

void CudaBackend::linear_backward_weight(Gradient dweight, Gradient dbias, Tensor dy, Tensor x,
                                         Tensor workspace) {
  bias_gradient(queue(), dbias, dy, workspace);
  if (!dweight.wanted()) return;
  const LinearSizes sizes(x.shape, dweight.tensor.shape);
  const GemmSize size = sizes.weight(x.dtype);
  const GemmPlan plan = plan_gemm(x.dtype, size, gemm_machine());
  const auto target = target_of<float>(dweight, size.rows, size.columns, workspace, plan.slices);
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    with_whole(size.whole, [&](auto whole) {
      const auto a = plain_rows<whole>(data<T>(dy), sizes.rows, sizes.out);
      const auto b = plain_rows<whole>(data<T>(x), sizes.rows, sizes.in);
      run_gemm("linear_backward_weight", queue(), plan, 1,
               product_of<Major::Width, Major::Width>(a, b, size), target);
    });
  });
}

}  // namespace countenance::cuda
