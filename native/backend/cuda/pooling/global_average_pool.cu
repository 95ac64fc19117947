#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/pixels.h"
#include "backend/cuda/frames/row_sums.h"

namespace countenance::cuda {

namespace {

// A block of rows is an image.
template <class T>
struct AveragePool {
  static constexpr int kSums = 1;
  static constexpr int kUnroll = 4;

  T* y;
  const T* x;
  float share;
  int channels;

  template <int N>
  struct Constants {};
  template <int N>
  __device__ Constants<N> constants(int, RowBlock) const {
    return {};
  }

  template <int N>
  __device__ void add(Floats<N> (&sums)[1], int64_t i, const Constants<N>&) const {
    const Floats<N> v = load<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) sums[0][k] += v[k];
  }

  __device__ void finish(RowBlock rows, int channel, const float (&sums)[1]) const {
    store(y + rows.index * channels + channel, Floats<1>{sums[0] * share});
  }
};

template <class T>
struct AveragePoolBackward {
  T* dx;
  bool accumulates;
  const T* dy;
  float share;
  uint32_t image_pixels;
  int channels;

  template <int N>
  __device__ void run(uint32_t pixel, int channel) const {
    Floats<N> g = load<N>(dy + static_cast<int64_t>(pixel / image_pixels) * channels + channel);
#pragma unroll
    for (int k = 0; k < N; ++k) g[k] *= share;
    store_gradient(dx + static_cast<int64_t>(pixel) * channels + channel, g, accumulates);
  }
};

}  // namespace

void CudaBackend::global_average_pool_forward(Tensor y, Tensor x) {
  const int64_t channels = x.shape.channels();
  const int64_t pixels = x.shape[1] * x.shape[2];
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_row_sums("global_average_pool_forward", queue(), x.shape.rows(), channels, pixels,
                 AveragePool<T>{data<T>(y), data<T>(x), 1.0f / static_cast<float>(pixels),
                                static_cast<int>(channels)});
  });
}

void CudaBackend::global_average_pool_backward(Gradient dx, Tensor dy) {
  if (!dx.wanted()) return;
  const Shape& shape = dx.tensor.shape;
  const int64_t pixels = shape[1] * shape[2];
  with_activation(dy.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_pixels("global_average_pool_backward", queue(), shape,
               AveragePoolBackward<T>{
                   data<T>(dx), dx.accumulates(), data<T>(dy), 1.0f / static_cast<float>(pixels),
                   static_cast<uint32_t>(pixels), static_cast<int>(shape.channels())});
  });
}

}  // namespace countenance::cuda
