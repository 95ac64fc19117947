#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/elementwise.h"
#include "backend/cuda/frames/reduce.h"
#include "backend/cuda/optim/skipped.h"

namespace countenance::cuda {

namespace {

constexpr int kThreads = 256;

// Blocks of the first pass, computed from n only: the order of the sum does not depend on the
// device.
int64_t clip_blocks(int64_t n) {
  return std::clamp<int64_t>(n / (kThreads * kVector * 4), 1, 1024);
}

// False for NaN, too.
__device__ __forceinline__ bool is_finite(float x) { return fabsf(x) <= 3.402823466e38f; }

// partial[block] = sum of the squares that its threads read: 8 in float, then in double.
__global__ void __launch_bounds__(kThreads)
    sum_squares_kernel(double* partial, const float* gradients, int64_t n) {
  COUNTENANCE_SHARED(double, warps, [kWarp]);
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t vectors = n / kVector;
  double sum = 0;
  for (int64_t i = first; i < vectors; i += step) {
    const Floats<kVector> g = load<kVector>(gradients + i * kVector);
    float squares = 0;
#pragma unroll
    for (int k = 0; k < kVector; ++k) squares = fmaf(g[k], g[k], squares);
    sum += squares;
  }
  for (int64_t i = vectors * kVector + first; i < n; i += step) {
    sum += static_cast<double>(gradients[i]) * gradients[i];
  }
  sum = block_sum(sum, warps);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads)
    clip_kernel(float* gradient_scale, float* norm, const double* partial, int blocks,
                const float* loss, float max_norm) {
  COUNTENANCE_SHARED(double, warps, [kWarp]);
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < blocks; i += kThreads) sum += partial[i];
  sum = block_sum(sum, warps);
  if (threadIdx.x != 0) return;
  const double size = sqrt(sum);
  const float rounded = static_cast<float>(size);
  *norm = rounded;
  if (!is_finite(rounded) || (loss && !is_finite(*loss)) || is_skipped(*gradient_scale)) {
    *gradient_scale = __uint_as_float(0x7FC00000);  // NaN
  } else {
    *gradient_scale =
        max_norm > 0.0f ? static_cast<float>(fmin(1.0, max_norm / (size + 1e-6))) : 1.0f;
  }
}

}  // namespace

size_t CudaBackend::clip_workspace(int64_t n) const {
  return static_cast<size_t>(clip_blocks(n)) * sizeof(double);
}

void CudaBackend::clip_gradient(Tensor gradient_scale, Tensor norm, Tensor gradients, Tensor loss,
                                float max_norm, Tensor workspace) {
  const int64_t n = gradients.elements();
  const int64_t blocks = clip_blocks(n);
  double* partial = reinterpret_cast<double*>(data<float>(workspace));
  launch("clip_gradient", queue(), {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)},
         sum_squares_kernel, partial, data<float>(gradients), n);
  launch("clip_gradient", queue(), {dim3(1), dim3(kThreads)}, clip_kernel,
         data<float>(gradient_scale), data<float>(norm), partial, static_cast<int>(blocks),
         data<float>(loss), max_norm);
}

}  // namespace countenance::cuda
