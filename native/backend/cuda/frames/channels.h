#pragma once

#include "backend/cuda/frames/elementwise.h"

// The frame of kernels over x (rows, C) in which every channel has its own constants (a scale, a
// mean). A thread keeps the constants of its channels in registers and iterates down the rows. An
// Op has
//   template <int N> struct Constants { ... };
//   template <int N> __device__ Constants<N> constants(int channel) const
//   template <int N> __device__ void run(int64_t i, const Constants<N>& constants) const
// where run processes elements i to i + N - 1 of one row.

namespace countenance::cuda {

inline constexpr int kChannelThreads = 256;

template <int N, class Op>
__global__ void __launch_bounds__(kChannelThreads)
    channel_kernel(Op op, int64_t rows, int channels) {
  const int channel = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * N;
  if (channel >= channels) return;
  const auto constants = op.template constants<N>(channel);
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.y;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; row < rows;
       row += step) {
    op.template run<N>(row * channels + channel, constants);
  }
}

// The launch over rows of this many vectors: a warp's accesses are as wide as the channels allow,
// the rest of a block covers rows.
inline LaunchShape channel_shape(const Queue& queue, int64_t rows, int vectors) {
  int width = 1;
  while (width < vectors && width < kChannelThreads) width *= 2;
  const int height = kChannelThreads / width;
  const int64_t columns = divide_up(vectors, width);
  const int64_t wanted = divide_up<int64_t>(rows, height);
  const int64_t most = std::max<int64_t>(1, int64_t{16} * queue.multiprocessors / columns);
  return {dim3(static_cast<unsigned>(std::min(wanted, most)), static_cast<unsigned>(columns)),
          dim3(static_cast<unsigned>(width), static_cast<unsigned>(height))};
}

template <class Op>
void run_channels(const char* name, const Queue& queue, int64_t rows, int64_t channels,
                  const Op& op) {
  if (rows == 0 || channels == 0) return;
  const bool whole = channels % kVector == 0;
  const int c = static_cast<int>(channels);
  launch(name, queue, channel_shape(queue, rows, whole ? c / kVector : c),
         whole ? channel_kernel<kVector, Op> : channel_kernel<1, Op>, op, rows, c);
}

}  // namespace countenance::cuda
