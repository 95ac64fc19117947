#include "backend/cuda/backend_class.h"
#include "backend/cuda/elementwise.h"

namespace countenance::cuda {

namespace {

template <class T>
struct ReluForward {
  T* y;
  const T* x;

  template <int N>
  __device__ void run(int64_t i) const {
    Floats<N> v = load<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = relu(v[k]);
    store(y + i, v);
  }
};

template <class T>
struct ReluBackward {
  T* dx;
  const T* dy;
  const T* y;
  bool accumulates;

  template <int N>
  __device__ void run(int64_t i) const {
    Floats<N> g = load<N>(dy + i);
    const Floats<N> out = load<N>(y + i);
#pragma unroll
    for (int k = 0; k < N; ++k) g[k] = out[k] > 0.0f ? g[k] : 0.0f;
    store_gradient(dx + i, g, accumulates);
  }
};

}  // namespace

void CudaBackend::relu_forward(Tensor y, Tensor x) {
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_elementwise("relu_forward", queue(), x.elements(), ReluForward<T>{data<T>(y), data<T>(x)});
  });
}

void CudaBackend::relu_backward(Gradient dx, Tensor dy, Tensor y) {
  if (!dx.wanted()) return;
  with_activation(dy.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_elementwise("relu_backward", queue(), dy.elements(),
                    ReluBackward<T>{data<T>(dx), data<T>(dy), data<T>(y), dx.accumulates()});
  });
}

}  // namespace countenance::cuda
