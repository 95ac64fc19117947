#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/elementwise.h"
#include "backend/cuda/frames/reduce.h"

namespace countenance::cuda {

namespace {

constexpr int kThreads = 256;

// A vector shorter than 1e-12 has no direction: hat(v) = 0 there instead of NaN.
__device__ __forceinline__ float inverse_norm(float square) {
  const float norm = sqrtf(square);
  return norm < 1e-12f ? 0.0f : 1.0f / norm;
}

// One block per sample, one warp per class: f . t, |f|^2 and |t|^2 in one pass.
template <class T>
__global__ void __launch_bounds__(kThreads)
    cosine_logits_kernel(float* logits, const T* features, const float* text, int classes,
                         int width, float scale) {
  const T* f = features + static_cast<int64_t>(blockIdx.x) * width;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int k = warp; k < classes; k += kThreads / kWarp) {
    const float* t = text + static_cast<int64_t>(k) * width;
    float product = 0;
    float f_square = 0;
    float t_square = 0;
    for (int i = lane; i < width; i += kWarp) {
      const float a = load<1>(f + i)[0];
      const float b = t[i];
      product = fmaf(a, b, product);
      f_square = fmaf(a, a, f_square);
      t_square = fmaf(b, b, t_square);
    }
    product = warp_sum(product);
    f_square = warp_sum(f_square);
    t_square = warp_sum(t_square);
    if (lane == 0) {
      logits[static_cast<int64_t>(blockIdx.x) * classes + k] =
          scale * (product * inverse_norm(f_square) * inverse_norm(t_square));
    }
  }
}

}  // namespace

void CudaBackend::cosine_logits(Tensor logits, Tensor features, Tensor text, float scale) {
  with_activation(features.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    launch("cosine_logits", queue(),
           {dim3(static_cast<unsigned>(features.shape[0])), dim3(kThreads)},
           cosine_logits_kernel<T>, data<float>(logits), data<T>(features), data<float>(text),
           static_cast<int>(text.shape[0]), static_cast<int>(text.shape[1]), scale);
  });
}

}  // namespace countenance::cuda
