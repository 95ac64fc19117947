#pragma once

#include "backend/cuda/frames/row_sums.h"

// The frame of kernels that process x (rows, C) with few rows in one launch: a CUDA block owns its
// channels, computes their sums and processes their rows again.

namespace countenance::cuda {

inline constexpr int64_t kFewRows = 512;
inline constexpr int kFewWidth = 8;

// Channels per thread.
inline int few_rows_vector(int64_t channels) { return channels % 2 == 0 ? 2 : 1; }

inline LaunchShape few_rows_shape(int64_t rows, int64_t channels) {
  const int64_t columns = divide_up<int64_t>(channels, kFewWidth * few_rows_vector(channels));
  unsigned height = kChannelThreads / kFewWidth;
  while (height > 4 && height / 2 >= rows) height /= 2;
  return {dim3(1, static_cast<unsigned>(columns)), dim3(kFewWidth, height)};
}

// An Op of channel_kernel on all rows of this thread's channels.
template <int N, class Op>
__device__ __forceinline__ void run_rows(const Op& op, int rows, int channel, int channels) {
  if (channel >= channels) return;
  const auto constants = op.template constants<N>(channel);
  for (int row = static_cast<int>(threadIdx.y); row < rows; row += static_cast<int>(blockDim.y)) {
    op.template run<N>(static_cast<int64_t>(row) * channels + channel, constants);
  }
}

}  // namespace countenance::cuda
