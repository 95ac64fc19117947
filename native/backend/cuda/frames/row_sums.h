#pragma once

#include "backend/cuda/frames/channels.h"

// The frame of kernels that sum down the rows of x (rows, C), by blocks of consecutive rows and in
// an order fixed by the shape and the device's size. An Op has
//   static constexpr int kSums, kUnroll  // sums of each channel; rows in flight in a thread
//   template <int N> struct Constants { ... };  // of N channels, for the rows of one block
//   template <int N> __device__ Constants<N> constants(int channel, RowBlock rows) const
//   template <int N> __device__ void add(Floats<N> (&sums)[kSums], int64_t i,
//                                        const Constants<N>& constants) const
//   __device__ void finish(RowBlock rows, int channel, const float (&sums)[kSums]) const
// where add processes elements i to i + N - 1 of one row.

namespace countenance::cuda {

struct RowBlock {
  int64_t index;
  int64_t first;
  int64_t end;

  __device__ int64_t size() const { return end - first; }
};

__device__ __forceinline__ void store(double* p, double v) { *p = v; }

// totals[k][c]: the sum of sums[k] over the CUDA block's rows (threadIdx.y) in each of its channels
// c, N of them per thread (V: Floats<N>, or double for one).
template <class V, class T, int K, int Size>
__device__ __forceinline__ void sum_rows(const V (&sums)[K], T (&totals)[K][Size]) {
  constexpr int N = sizeof(V) / sizeof(T);
  const int width = static_cast<int>(blockDim.x) * N;
  const int row = static_cast<int>(threadIdx.y);
#pragma unroll
  for (int k = 0; k < K; ++k) {
    store(&totals[k][row * width + static_cast<int>(threadIdx.x) * N], sums[k]);
  }
  __syncthreads();
  const int threads = static_cast<int>(blockDim.x * blockDim.y);
  for (int c = row * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x); c < width;
       c += threads) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      double total = totals[k][c];
      for (int y = 1; y < static_cast<int>(blockDim.y); ++y) total += totals[k][y * width + c];
      totals[k][c] = static_cast<T>(total);
    }
  }
  __syncthreads();
}

// The sums over one block of rows, by all threads of the CUDA block; `channel` is this thread's.
template <int N, class Op>
__device__ __forceinline__ void sum_row_block(const Op& op, RowBlock rows, int channel,
                                              int channels,
                                              float (&totals)[Op::kSums][kChannelThreads * N]) {
  Floats<N> sums[Op::kSums];
#pragma unroll
  for (int k = 0; k < Op::kSums; ++k) sums[k] = all<N>(0.0f);
  if (channel < channels) {
    const auto constants = op.template constants<N>(channel, rows);
#pragma unroll(Op::kUnroll)
    for (int64_t row = rows.first + threadIdx.y; row < rows.end; row += blockDim.y) {
      op.template add<N>(sums, row * channels + channel, constants);
    }
  }
  sum_rows(sums, totals);
}

// f(channel, sums) for each channel of the CUDA block, after sum_row_block.
template <int N, int K, class F>
__device__ __forceinline__ void for_each_total(const float (&totals)[K][kChannelThreads * N],
                                               int channels, F&& f) {
  const int width = static_cast<int>(blockDim.x) * N;
  const int threads = static_cast<int>(blockDim.x * blockDim.y);
  for (int c = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x); c < width; c += threads) {
    const int channel = static_cast<int>(blockIdx.y) * width + c;
    if (channel >= channels) return;
    float sums[K];
#pragma unroll
    for (int k = 0; k < K; ++k) sums[k] = totals[k][c];
    f(channel, sums);
  }
}

// Three blocks: 80 registers per thread. Otherwise ptxas would spill some to fit into five blocks.
template <int N, class Op>
__global__ void __launch_bounds__(kChannelThreads, 3)
    row_sums_kernel(Op op, int64_t rows, int channels, int64_t block_rows) {
  COUNTENANCE_SHARED(float, totals, [Op::kSums][kChannelThreads * N]);
  const int channel = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * N;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * block_rows;
  const int64_t end = first + block_rows < rows ? first + block_rows : rows;
  const RowBlock block{blockIdx.x, first, end};
  sum_row_block<N>(op, block, channel, channels, totals);
  for_each_total<N>(totals, channels,
                    [&](int c, const float(&sums)[Op::kSums]) { op.finish(block, c, sums); });
}

// How a CUDA block of the frame covers the channels: at most a warp wide; the rest covers rows.
struct RowSumsShape {
  explicit RowSumsShape(int64_t channels) : vector(channels % kVector == 0 ? kVector : 1) {
    const int64_t vectors = channels / vector;
    while (width < vectors && width < 32) width *= 2;
    height = kChannelThreads / width;
    columns = divide_up<int64_t>(vectors, width);
  }

  int vector;  // channels of a thread
  int width = 1;
  int height;
  int64_t columns;  // CUDA blocks side by side
};

// Rows of a block: enough blocks to fill the device, but at least four rows per thread.
inline int64_t rows_of_block(int64_t rows, int64_t channels, int multiprocessors) {
  const RowSumsShape shape(channels);
  const int64_t most = std::max<int64_t>(1, int64_t{4} * multiprocessors / shape.columns);
  return std::max(divide_up(rows, most), int64_t{4} * shape.height);
}

template <class Op>
void run_row_sums(const char* name, const Queue& queue, int64_t rows, int64_t channels,
                  int64_t block_rows, const Op& op) {
  if (rows == 0 || channels == 0) return;
  const RowSumsShape shape(channels);
  const LaunchShape launched{
      dim3(static_cast<unsigned>(divide_up(rows, block_rows)),
           static_cast<unsigned>(shape.columns)),
      dim3(static_cast<unsigned>(shape.width), static_cast<unsigned>(shape.height))};
  launch(name, queue, launched,
         shape.vector == 1 ? row_sums_kernel<1, Op> : row_sums_kernel<kVector, Op>, op, rows,
         static_cast<int>(channels), block_rows);
}

// ---- The second step: the blocks' results, in double ----

// An Op of it has
//   __device__ void add(double (&sums)[2], int64_t block, int channel) const
//   __device__ void finish(int channel, const double (&sums)[2]) const

inline constexpr int kFinishChannels = 8;  // floats in a memory sector
inline constexpr int kFinishHeight = 32;

template <class Op>
__global__ void __launch_bounds__(kFinishChannels* kFinishHeight)
    finish_row_sums_kernel(Op op, int64_t blocks, int channels) {
  COUNTENANCE_SHARED(double, totals, [2][kFinishChannels * kFinishHeight]);
  const int channel = static_cast<int>(blockIdx.x * kFinishChannels + threadIdx.x);
  double sums[2] = {0.0, 0.0};
  if (channel < channels) {
    for (int64_t block = threadIdx.y; block < blocks; block += kFinishHeight) {
      op.add(sums, block, channel);
    }
  }
  sum_rows(sums, totals);
  if (threadIdx.y != 0 || channel >= channels) return;
  const double found[2] = {totals[0][threadIdx.x], totals[1][threadIdx.x]};
  op.finish(channel, found);
}

template <class Op>
void run_finish_row_sums(const char* name, const Queue& queue, int64_t blocks, int64_t channels,
                         const Op& op) {
  const auto grid = static_cast<unsigned>(divide_up<int64_t>(channels, kFinishChannels));
  launch(name, queue, {dim3(grid), dim3(kFinishChannels, kFinishHeight)},
         finish_row_sums_kernel<Op>, op, blocks, static_cast<int>(channels));
}

}  // namespace countenance::cuda
