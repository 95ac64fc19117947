#pragma once

#include "backend/cuda/frames/channels.h"

// The frame of kernels over the pixels of images (B, H, W, C), where a pixel's coordinates matter.
// An Op has
//   template <int N> __device__ void run(uint32_t pixel, int channel) const
// that processes channels `channel` to `channel` + N - 1 of a pixel; pixels are numbered across all
// images.

namespace countenance::cuda {

template <int N, class Op>
__global__ void __launch_bounds__(kChannelThreads)
    pixel_kernel(Op op, int64_t pixels, int channels) {
  const int channel = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * N;
  if (channel >= channels) return;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.y;
  for (int64_t pixel = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; pixel < pixels;
       pixel += step) {
    op.template run<N>(static_cast<uint32_t>(pixel), channel);
  }
}

template <class Op>
void run_pixels(const char* name, const Queue& queue, const Shape& images, const Op& op) {
  if (images.elements() == 0) return;
  const int64_t pixels = images.rows();
  // A 64-bit division would cost more than the rest of a kernel.
  ensure(pixels <= UINT32_MAX, name, ": images of shape ", images, " are too large");
  const int channels = static_cast<int>(images.channels());
  const bool whole = channels % kVector == 0;
  launch(name, queue, channel_shape(queue, pixels, whole ? channels / kVector : channels),
         whole ? pixel_kernel<kVector, Op> : pixel_kernel<1, Op>, op, pixels, channels);
}

}  // namespace countenance::cuda
