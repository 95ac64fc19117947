#pragma once

#include "backend/cuda/device/kernel_types.h"
#include "backend/cuda/device/launch.h"
#include "backend/cuda/device/queue.h"
#include "backend/cuda/device/vector.h"

// The frame of element-wise kernels over n elements. An Op is a struct of pointers and
// attributes with
//   template <int N> __device__ void run(int64_t i) const
// that processes elements i to i + N - 1; i is a multiple of N, N is kVector or, for the last
// few, 1.

namespace countenance::cuda {

inline constexpr int kVector = 8;  // 16 bytes of bfloat16, 32 of float
inline constexpr int kElementThreads = 256;

// Four blocks: 64 registers per thread. Otherwise ptxas would spill some to fit into eight blocks.
template <class Op>
__global__ void __launch_bounds__(kElementThreads, 4) elementwise_kernel(Op op, int64_t n) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t vectors = n / kVector;
  for (int64_t i = first; i < vectors; i += step) op.template run<kVector>(i * kVector);
  for (int64_t i = vectors * kVector + first; i < n; i += step) op.template run<1>(i);
}

template <class Op>
void run_elementwise(const char* name, const Queue& queue, int64_t n, const Op& op) {
  if (n == 0) return;
  // Enough blocks to fill the device, few enough that each has several vectors to work on.
  const int64_t wanted = divide_up<int64_t>(divide_up<int64_t>(n, kVector), kElementThreads);
  const int64_t blocks = std::min<int64_t>(wanted, int64_t{16} * queue.multiprocessors);
  launch(name, queue, {dim3(static_cast<unsigned>(blocks)), dim3(kElementThreads)},
         elementwise_kernel<Op>, op, n);
}

}  // namespace countenance::cuda
