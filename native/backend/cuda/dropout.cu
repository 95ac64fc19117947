#include "backend/cuda/elementwise.h"
#include "backend/cuda/random.h"

namespace countenance::cuda {

namespace {

// out = in * factors (+ out): the forward pass and its own gradient.
template <class T>
struct Dropout {
  T* out;
  const T* in;
  bool accumulates;
  float probability;
  float kept;
  DeviceRandom random;

  __device__ __forceinline__ float factor(uint32_t bits) const {
    return RandomStream::to_uniform(bits) >= probability ? kept : 0.0f;
  }

  template <int N>
  __device__ void run(int64_t i) const {
    const RandomStream stream = random.stream();
    Floats<N> v = load<N>(in + i);
    if constexpr (N % 4 == 0) {  // four numbers share a block of Philox
#pragma unroll
      for (int b = 0; b < N / 4; ++b) {
        const Philox::Block block = stream.block(static_cast<uint64_t>(i / 4 + b));
#pragma unroll
        for (int k = 0; k < 4; ++k) v[4 * b + k] *= factor(block[k]);
      }
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] *= factor(stream.bits(static_cast<uint64_t>(i + k)));
    }
    store_gradient(out + i, v, accumulates);
  }
};

}  // namespace

void CudaBackend::dropout_forward(Tensor y, Tensor x, float probability, RandomKey key) {
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_elementwise("dropout_forward", queue(), x.elements(),
                    Dropout<T>{data<T>(y),
                               data<T>(x),
                               false,
                               probability,
                               1.0f / (1.0f - probability),
                               {key, stream_shift()}});
  });
}

void CudaBackend::dropout_backward(Gradient dx, Tensor dy, float probability, RandomKey key) {
  if (!dx.wanted()) return;
  with_activation(dy.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_elementwise("dropout_backward", queue(), dy.elements(),
                    Dropout<T>{data<T>(dx),
                               data<T>(dy),
                               dx.accumulates(),
                               probability,
                               1.0f / (1.0f - probability),
                               {key, stream_shift()}});
  });
}

}  // namespace countenance::cuda
