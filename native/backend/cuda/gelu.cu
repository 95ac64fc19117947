#include "backend/cuda/backend_class.h"
#include "backend/cuda/elementwise.h"
#include "backend/cuda/normal_distribution.h"

namespace countenance::cuda {

namespace {

template <class T>
struct GeluForward {
  T* y;
  const T* x;

  template <int N>
  __device__ void run(int64_t i) const {
    Floats<N> v = load<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = gelu(v[k]);
    store(y + i, v);
  }
};

template <class T>
struct GeluBackward {
  T* dx;
  const T* dy;
  const T* x;
  bool accumulates;

  template <int N>
  __device__ void run(int64_t i) const {
    Floats<N> g = load<N>(dy + i);
    const Floats<N> v = load<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) g[k] *= gelu_slope(v[k]);
    store_gradient(dx + i, g, accumulates);
  }
};

}  // namespace

void CudaBackend::gelu_forward(Tensor y, Tensor x) {
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_elementwise("gelu_forward", queue(), x.elements(), GeluForward<T>{data<T>(y), data<T>(x)});
  });
}

void CudaBackend::gelu_backward(Gradient dx, Tensor dy, Tensor x) {
  if (!dx.wanted()) return;
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_elementwise("gelu_backward", queue(), x.elements(),
                    GeluBackward<T>{data<T>(dx), data<T>(dy), data<T>(x), dx.accumulates()});
  });
}

}  // namespace countenance::cuda
