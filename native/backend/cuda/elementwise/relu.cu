#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/unary.h"

namespace countenance::cuda {

namespace {

struct Relu {
  static __device__ __forceinline__ float forward(float x) { return relu(x); }
  static __device__ __forceinline__ float backward(float dy, float y) {
    return y > 0.0f ? dy : 0.0f;
  }
};

}  // namespace

void CudaBackend::relu_forward(Tensor y, Tensor x) {
  run_unary_forward<Relu>("relu_forward", queue(), y, x);
}

void CudaBackend::relu_backward(Gradient dx, Tensor dy, Tensor y) {
  run_unary_backward<Relu>("relu_backward", queue(), dx, dy, y);
}

}  // namespace countenance::cuda
