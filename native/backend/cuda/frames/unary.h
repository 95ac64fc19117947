#pragma once

#include "backend/cuda/frames/elementwise.h"

// The frame of y = f(x) and dx = g(dy, saved), element by element. F is a struct of two functions:
//   static __device__ float forward(float x)
//   static __device__ float backward(float dy, float saved)

namespace countenance::cuda {

template <class F, class T>
struct UnaryForward {
  T* y;
  const T* x;

  template <int N>
  __device__ void run(int64_t i) const {
    Floats<N> v = load<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = F::forward(v[k]);
    store(y + i, v);
  }
};

template <class F, class T>
struct UnaryBackward {
  T* dx;
  const T* dy;
  const T* saved;  // x or y, whichever F's gradient is a function of
  bool accumulates;

  template <int N>
  __device__ void run(int64_t i) const {
    Floats<N> g = load<N>(dy + i);
    const Floats<N> v = load<N>(saved + i);
#pragma unroll
    for (int k = 0; k < N; ++k) g[k] = F::backward(g[k], v[k]);
    store_gradient(dx + i, g, accumulates);
  }
};

template <class F>
void run_unary_forward(const char* name, const Queue& queue, Tensor y, Tensor x) {
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_elementwise(name, queue, x.elements(), UnaryForward<F, T>{data<T>(y), data<T>(x)});
  });
}

template <class F>
void run_unary_backward(const char* name, const Queue& queue, Gradient dx, Tensor dy,
                        Tensor saved) {
  if (!dx.wanted()) return;
  with_activation(dy.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_elementwise(
        name, queue, dy.elements(),
        UnaryBackward<F, T>{data<T>(dx), data<T>(dy), data<T>(saved), dx.accumulates()});
  });
}

}  // namespace countenance::cuda
