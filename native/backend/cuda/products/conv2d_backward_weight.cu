#include "backend/cuda/backend_class.h"
#include "backend/cuda/products/gemm_bias.h"
#include "backend/cuda/products/gemm_conv2d.h"

namespace countenance::cuda {

void CudaBackend::conv2d_backward_weight(Gradient dweight, Gradient dbias, Tensor dy, Tensor x,
                                         const Conv2dAttributes& attributes, Tensor workspace) {
  if (!dweight.wanted()) return bias_gradient(queue(), dbias, dy, workspace);
  const ConvSizes sizes(x.shape, dweight.tensor.shape, attributes);
  if (sizes.is_linear()) return linear_backward_weight(dweight, dbias, dy, x, workspace);
  bias_gradient(queue(), dbias, dy, workspace);
  const GemmSize size = sizes.weight(x.dtype);
  const GemmPlan plan = plan_gemm(x.dtype, size, gemm_machine());
  const auto target = target_of<float>(dweight, size.rows, size.columns, workspace, plan.slices);
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    // In a first layer, only the image is not in whole chunks.
    with_whole(is_whole(x.dtype, sizes.out), [&](auto dy_whole) {
      with_whole(size.whole, [&](auto whole) {
        if constexpr (dy_whole || !whole) {
          const auto a = plain_rows<dy_whole>(data<T>(dy), sizes.y_rows(), sizes.out);
          const auto b = sizes.rows_of<T, whole>(data<T>(x));
          run_gemm("conv2d_backward_weight", queue(), plan, 1,
                   product_of<Major::Width, Major::Width>(a, b, size), target);
        }
      });
    });
  });
}

}  // namespace countenance::cuda
