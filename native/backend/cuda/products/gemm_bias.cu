#include "backend/cuda/products/gemm_bias.h"

#include "backend/cuda/products/gemm_plan.h"
#include "backend/cuda/products/gemm_target.h"

namespace countenance::cuda {

namespace {

constexpr int kThreads = 256;

// A block sums blockDim.x chunks of columns over a slice of the rows: each thread sums every
// blockDim.y-th row, then the threads of a chunk are summed in order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    column_sums_kernel(GradientTarget<float> target, const T* x, int64_t rows, int64_t slice_rows) {
  COUNTENANCE_SHARED(float, partial, [kThreads * kTargetChunk]);
  const int columns = target.out.columns;
  const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * kTargetChunk;
  const int64_t first = blockIdx.y * slice_rows;
  const int64_t end = min(first + slice_rows, rows);
  Floats<kTargetChunk> sum = all<kTargetChunk>(0.0f);
  if (column < columns) {
    for (int64_t row = first + threadIdx.y; row < end; row += blockDim.y) {
      const T* p = x + row * columns + column;
      if (target.out.whole()) {
        const Floats<kTargetChunk> v = load<kTargetChunk>(p);
#pragma unroll
        for (int k = 0; k < kTargetChunk; ++k) sum[k] += v[k];
      } else {
#pragma unroll
        for (int k = 0; k < kTargetChunk; ++k) {
          if (column + k < columns) sum[k] += load<1>(p + k)[0];
        }
      }
    }
  }
  const int place = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  store(partial + place * kTargetChunk, sum);
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  for (int y = 1; y < static_cast<int>(blockDim.y); ++y) {
    const Floats<kTargetChunk> other =
        load<kTargetChunk>(partial + (place + y * static_cast<int>(blockDim.x)) * kTargetChunk);
#pragma unroll
    for (int k = 0; k < kTargetChunk; ++k) sum[k] += other[k];
  }
  store(partial + place * kTargetChunk, sum);
  put(target, static_cast<int>(blockIdx.y), 0, column, partial + place * kTargetChunk);
}

}  // namespace

void bias_gradient(const Queue& queue, const Gradient& dbias, const Tensor& dy,
                   const Tensor& workspace) {
  if (!dbias.wanted()) return;
  const int64_t rows = dy.shape.rows();
  const int64_t columns = dy.shape.channels();
  const int slices = plan_column_sums(rows, columns, queue.multiprocessors);
  const auto target = target_of<float>(dbias, 1, columns, workspace, slices);
  const int chunks = static_cast<int>(divide_up<int64_t>(columns, kTargetChunk));
  int width = 1;
  while (width < chunks && width < 32) width *= 2;
  with_activation(dy.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    launch("bias_gradient", queue,
           {dim3(static_cast<unsigned>(divide_up(chunks, width)), static_cast<unsigned>(slices)),
            dim3(static_cast<unsigned>(width), static_cast<unsigned>(kThreads / width))},
           column_sums_kernel<T>, target, data<T>(dy), rows, divide_up<int64_t>(rows, slices));
  });
  sum_slices("bias_gradient", queue, target, slices);
}

size_t bias_gradient_workspace(int64_t rows, int64_t columns, int multiprocessors) {
  return slice_bytes(columns, plan_column_sums(rows, columns, multiprocessors));
}

}  // namespace countenance::cuda
