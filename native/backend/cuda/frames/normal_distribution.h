#pragma once

#include <cuda_runtime.h>

namespace countenance::cuda {

// x Phi(x). normcdff keeps its relative accuracy in the lower tail.
__device__ __forceinline__ float gelu(float x) { return x * normcdff(x); }

// d(x Phi(x)) / dx = Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi)
__device__ __forceinline__ float gelu_slope(float x) {
  return normcdff(x) + 0.39894228f * x * expf(-0.5f * x * x);
}

}  // namespace countenance::cuda
