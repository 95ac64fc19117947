#pragma once

#include <cuda_runtime.h>

#include "backend/cuda/device/launch.h"

// Sums and maxima over a warp or a block, in an order that only depends on the shapes: no float
// atomics anywhere, so the same input gives the same bits.

namespace countenance::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;

// Every lane gets the result. All 32 lanes take part.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, offset);
  }
  return value;
}
__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  }
  return value;
}

// Every thread gets the sum over the block, whose size is a multiple of 32 in x only. `partial` is
// shared memory; the barrier at the end lets it be reused immediately.
template <class T>
__device__ __forceinline__ T block_sum(T value, T (&partial)[kWarp]) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  value = warp_sum(value);
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  value = warp_sum(lane < warps ? partial[lane] : T(0));
  __syncthreads();
  return value;
}

}  // namespace countenance::cuda
