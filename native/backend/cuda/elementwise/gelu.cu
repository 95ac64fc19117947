#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/normal_distribution.h"
#include "backend/cuda/frames/unary.h"

namespace countenance::cuda {

namespace {

struct Gelu {
  static __device__ __forceinline__ float forward(float x) { return gelu(x); }
  static __device__ __forceinline__ float backward(float dy, float x) { return dy * gelu_slope(x); }
};

}  // namespace

void CudaBackend::gelu_forward(Tensor y, Tensor x) {
  run_unary_forward<Gelu>("gelu_forward", queue(), y, x);
}

void CudaBackend::gelu_backward(Gradient dx, Tensor dy, Tensor x) {
  run_unary_backward<Gelu>("gelu_backward", queue(), dx, dy, x);
}

}  // namespace countenance::cuda
