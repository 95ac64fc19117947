#pragma once

#include "backend/attributes.h"
#include "backend/cuda/frames/elementwise.h"
#include "backend/cuda/frames/moments.h"
#include "backend/cuda/frames/normal_distribution.h"

// Where a product goes and what happens to it before it is stored. A target has
//   Output<Y> out;
//   template <int N> __device__ void finish(int64_t i, int column, Floats<N> v) const
//   static constexpr bool kMoments                it has `moments` that may be wanted
// where finish processes N elements of a row, from number i of y on.

namespace countenance::cuda {

// Numbers of a row that are processed at once.
inline constexpr int kTargetChunk = kVector;

// y (rows, columns), dense. For a product in slices, partial sums (slices, rows, columns) are kept
// instead, and SumOfSlices finishes them.
template <class Y>
struct Output {
  Y* y;
  int64_t rows;
  int columns;
  float* partial;  // null: a single slice

  __device__ __forceinline__ bool whole() const { return columns % kTargetChunk == 0; }
  // From one slice's sums to the next: whole chunks.
  __device__ __forceinline__ int64_t slice_pitch() const {
    return (rows * columns + kTargetChunk - 1) / kTargetChunk * kTargetChunk;
  }
};

// Gradients: y = product or y += product.
template <class Y>
struct GradientTarget {
  static constexpr bool kMoments = false;

  Output<Y> out;
  bool accumulates;

  template <int N>
  __device__ __forceinline__ void finish(int64_t i, int, const Floats<N>& v) const {
    store_gradient(out.y + i, v, accumulates);
  }
};

// Activations: attributes.h, Epilogue. Pointers may be null.
template <class Y>
struct EpilogueTarget {
  static constexpr bool kMoments = true;

  Output<Y> out;
  const float* scale;
  const float* shift;
  const Y* residual;
  Y* pre_activation;
  Activation activation;
  Moments moments;

  template <int N>
  __device__ __forceinline__ void finish(int64_t i, int column, Floats<N> v) const {
    if (scale) {
      const Floats<N> factor = load<N>(scale + column);
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] *= factor[k];
    }
    if (shift) add(v, load<N>(shift + column));
    if (residual) add(v, load<N>(residual + i));
    if (pre_activation) store(pre_activation + i, v);
    if (activation == Activation::Relu) {
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] = relu(v[k]);
    } else if (activation == Activation::Gelu) {
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] = gelu(v[k]);
    }
    store(out.y + i, v);
  }

 private:
  template <int N>
  __device__ __forceinline__ static void add(Floats<N>& v, const Floats<N>& other) {
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] += other[k];
  }
};

// Stores a chunk of the product from shared memory to `row` of y, from `column` on.
template <class Target>
__device__ __forceinline__ void put(const Target& target, int slice, int64_t row, int column,
                                    const float* v) {
  const auto& out = target.out;
  const int64_t i = row * out.columns + column;
  float* const sums = out.partial ? out.partial + slice * out.slice_pitch() + i : nullptr;
  if (out.whole()) {
    if (sums) return store(sums, load<kTargetChunk>(v));
    return target.finish(i, column, load<kTargetChunk>(v));
  }
  const int count = min(kTargetChunk, out.columns - column);
#pragma unroll 1
  for (int k = 0; k < count; ++k) {
    if (sums) {
      sums[k] = v[k];
    } else {
      target.finish(i + k, column + k, load<1>(v + k));
    }
  }
}

// The slices' partial sums, added in their order.
template <class Target>
struct SumOfSlices {
  Target target;
  int slices;

  template <int N>
  __device__ void run(int64_t i) const {
    const auto& out = target.out;
    Floats<N> sum = all<N>(0.0f);
    for (int s = 0; s < slices; ++s) {
      const Floats<N> part = load<N>(out.partial + s * out.slice_pitch() + i);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += part[k];
    }
    if (out.whole()) {
      target.finish(i, static_cast<int>(i % out.columns), sum);
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        target.finish(i + k, static_cast<int>((i + k) % out.columns), all<1>(sum[k]));
      }
    }
  }
};

template <class Target>
void sum_slices(const char* name, const Queue& queue, const Target& target, int slices) {
  if (slices == 1) return;
  run_elementwise(name, queue, target.out.rows * target.out.columns,
                  SumOfSlices<Target>{target, slices});
}

// ---- On the host ----

template <class Y>
EpilogueTarget<Y> target_of(Tensor y, const Epilogue& epilogue, Tensor workspace, int slices) {
  const int64_t rows = y.shape.rows();
  const int64_t columns = y.shape.channels();
  return {{data<Y>(y), rows, to_int(columns), slices > 1 ? data<float>(workspace) : nullptr},
          data<float>(epilogue.scale),
          data<float>(epilogue.shift),
          data<Y>(epilogue.residual),
          data<Y>(epilogue.pre_activation),
          epilogue.activation,
          StatisticsLayout(rows, columns).moments(data<float>(epilogue.statistics))};
}

// For a gradient laid out as (rows, columns) in memory, whatever its shape.
template <class Y>
GradientTarget<Y> target_of(const Gradient& dy, int64_t rows, int64_t columns, Tensor workspace,
                            int slices) {
  return {{data<Y>(dy), rows, to_int(columns), slices > 1 ? data<float>(workspace) : nullptr},
          dy.accumulates()};
}

}  // namespace countenance::cuda
