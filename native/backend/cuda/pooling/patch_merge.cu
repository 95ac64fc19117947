#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/pixels.h"

namespace countenance::cuda {

namespace {

// Maps between the pixels of x (B, H, W, C) and those of y (B, H/2, W/2, 4C). Neighbour k of a
// group, in Swin's order: row offset k % 2, column offset k / 2.
struct Merge {
  uint32_t width;
  int channels;

  // Offset in y of a pixel of x.
  __device__ int64_t place(uint32_t pixel) const {
    const uint32_t row = pixel / width;
    const uint32_t column = pixel % width;
    const int64_t group = static_cast<int64_t>(row / 2) * (width / 2) + column / 2;
    return (4 * group + row % 2 + 2 * (column % 2)) * channels;
  }
};

template <class T>
struct PatchMergeForward {
  T* y;
  const T* x;
  Merge merge;

  template <int N>
  __device__ void run(uint32_t pixel, int channel) const {
    const int64_t from = static_cast<int64_t>(pixel) * merge.channels + channel;
    store(y + merge.place(pixel) + channel, load<N>(x + from));
  }
};

template <class T>
struct PatchMergeBackward {
  T* dx;
  bool accumulates;
  const T* dy;
  Merge merge;

  template <int N>
  __device__ void run(uint32_t pixel, int channel) const {
    const Floats<N> g = load<N>(dy + merge.place(pixel) + channel);
    store_gradient(dx + static_cast<int64_t>(pixel) * merge.channels + channel, g, accumulates);
  }
};

// H is even, so that rows can be numbered across all images.
Merge merge_of(const Shape& x) {
  return {static_cast<uint32_t>(x[2]), static_cast<int>(x.channels())};
}

}  // namespace

void CudaBackend::patch_merge_forward(Tensor y, Tensor x) {
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_pixels("patch_merge_forward", queue(), x.shape,
               PatchMergeForward<T>{data<T>(y), data<T>(x), merge_of(x.shape)});
  });
}

void CudaBackend::patch_merge_backward(Gradient dx, Tensor dy) {
  if (!dx.wanted()) return;
  const Shape& shape = dx.tensor.shape;
  with_activation(dy.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_pixels("patch_merge_backward", queue(), shape,
               PatchMergeBackward<T>{data<T>(dx), dx.accumulates(), data<T>(dy), merge_of(shape)});
  });
}

}  // namespace countenance::cuda
