#pragma once

#include "backend/attributes.h"
#include "backend/cuda/elementwise.h"

namespace countenance::cuda {

// Numbers of a row that are treated at once.
inline constexpr int kTargetChunk = kVector;

// Where a product goes, (rows, columns) densely, and what happens to it before it is stored:
//   y = activation(scale product + shift + residual), or y += ...
// Of a product in slices, partial sums (slices, rows, columns) are kept instead.
template <class Y>
struct Target {
  Y* y;
  int64_t rows;
  int columns;
  const float* scale = nullptr;
  const float* shift = nullptr;
  const Y* residual = nullptr;
  bool relu = false;
  bool accumulates = false;
  float* partial = nullptr;

  __device__ __forceinline__ bool whole() const { return columns % kTargetChunk == 0; }

  // The chunk of `row` that begins at `column`.
  __device__ __forceinline__ void put(int slice, int64_t row, int column,
                                      const Floats<kTargetChunk>& v) const {
    const int64_t i = row * columns + column;
    float* const sums = partial ? partial + slice * rows * columns + i : nullptr;
    if (whole()) {
      if (sums) return store(sums, v);
      return finish(i, column, v);
    }
#pragma unroll
    for (int k = 0; k < kTargetChunk; ++k) {
      if (column + k >= columns) return;
      if (sums) {
        sums[k] = v[k];
      } else {
        finish(i + k, column + k, all<1>(v[k]));
      }
    }
  }

  // N numbers of a row, from number i of y on.
  template <int N>
  __device__ __forceinline__ void finish(int64_t i, int column, Floats<N> v) const {
    if (scale) {
      const Floats<N> factor = load<N>(scale + column);
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] *= factor[k];
    }
    if (shift) add(v, load<N>(shift + column));
    if (residual) add(v, load<N>(residual + i));
    if (relu) {
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] = cuda::relu(v[k]);
    }
    store_gradient(y + i, v, accumulates);
  }

 private:
  template <int N>
  __device__ __forceinline__ static void add(Floats<N>& v, const Floats<N>& other) {
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] += other[k];
  }
};

template <class Y>
Target<Y> target_of(Tensor y, const Epilogue& epilogue, Tensor workspace, int slices) {
  return {.y = data<Y>(y),
          .rows = y.shape.rows(),
          .columns = to_int(y.shape.channels()),
          .scale = data<float>(epilogue.scale),
          .shift = data<float>(epilogue.shift),
          .residual = data<Y>(epilogue.residual),
          .relu = epilogue.activation == Activation::Relu,
          .partial = slices > 1 ? data<float>(workspace) : nullptr};
}
// A gradient that lies (rows, columns) in memory, whatever its shape.
template <class Y>
Target<Y> target_of(const Gradient& dy, int64_t rows, int64_t columns, Tensor workspace,
                    int slices) {
  return {.y = data<Y>(dy),
          .rows = rows,
          .columns = to_int(columns),
          .accumulates = dy.accumulates(),
          .partial = slices > 1 ? data<float>(workspace) : nullptr};
}

// The slices' partial sums, added in their order.
template <class Y>
struct SumOfSlices {
  Target<Y> target;
  int slices;

  template <int N>
  __device__ void run(int64_t i) const {
    const int64_t step = target.rows * target.columns;
    Floats<N> sum = all<N>(0.0f);
    for (int s = 0; s < slices; ++s) {
      const Floats<N> part = load<N>(target.partial + s * step + i);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += part[k];
    }
    if (target.whole()) {
      target.finish(i, static_cast<int>(i % target.columns), sum);
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        target.finish(i + k, static_cast<int>((i + k) % target.columns), all<1>(sum[k]));
      }
    }
  }
};

}  // namespace countenance::cuda
