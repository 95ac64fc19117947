#include "backend/cuda/backend_class.h"
#include "backend/cuda/products/gemm_bias.h"
#include "backend/cuda/products/gemm_conv2d.h"

namespace countenance::cuda {

size_t CudaBackend::conv2d_workspace(const Shape& x, const Shape& weight,
                                     const Conv2dAttributes& attributes) const {
  const ConvSizes sizes(x, weight, attributes);
  if (sizes.is_linear()) return linear_workspace(x, weight);
  const auto bytes = [&](GemmSize (ConvSizes::*product)(DType) const) {
    return gemm_workspace((sizes.*product)(DType::F32), (sizes.*product)(DType::BF16),
                          gemm_machine());
  };
  return std::max({bytes(&ConvSizes::forward), bytes(&ConvSizes::data), bytes(&ConvSizes::weight),
                   bias_gradient_workspace(sizes.y_rows(), sizes.out, multiprocessors_)});
}

// A tile of y is in shared memory before it is stored; slices of a product never are.
size_t CudaBackend::conv2d_statistics(const Shape& x, const Shape& weight,
                                      const Conv2dAttributes& attributes, DType activations) const {
  const ConvSizes sizes(x, weight, attributes);
  const GemmPlan plan = plan_gemm(activations, sizes.forward(activations), gemm_machine());
  if (plan.slices > 1) return 0;
  return StatisticsLayout(sizes.y_rows(), sizes.out).bytes();
}

void CudaBackend::conv2d_forward(Tensor y, Tensor x, Tensor weight, const Epilogue& epilogue,
                                 const Conv2dAttributes& attributes, Tensor workspace) {
  const ConvSizes sizes(x.shape, weight.shape, attributes);
  if (sizes.is_linear()) return linear_forward(y, x, weight, epilogue, workspace);
  const GemmSize size = sizes.forward(x.dtype);
  const GemmPlan plan = plan_gemm(x.dtype, size, gemm_machine());
  ensure(!epilogue.statistics || plan.slices == 1, "statistics of a product in slices");
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto b = packed_rows(weights_as<T>(weight), sizes.packed);
    const auto target = target_of<T>(y, epilogue, workspace, plan.slices);
    with_whole(size.whole, [&](auto whole) {
      const auto a = sizes.rows_of<T, whole>(data<T>(x));
      run_gemm("conv2d_forward", queue(), plan, 1,
               product_of<Major::Depth, Major::Depth>(a, b, size), target);
    });
  });
}

}  // namespace countenance::cuda
