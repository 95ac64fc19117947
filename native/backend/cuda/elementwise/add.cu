#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/elementwise.h"

namespace countenance::cuda {

namespace {

// row_scale of the sample that number i belongs to; null: 1 everywhere.
struct RowScale {
  const float* scales;
  uint32_t unit;    // numbers that share a sample: kVector where samples are whole vectors, or 1
  uint32_t sample;  // units of one sample

  template <int N>
  __device__ __forceinline__ Floats<N> at(int64_t i) const {
    if (!scales) return all<N>(1.0f);
    if (unit == kVector) return all<N>(scales[static_cast<uint32_t>(i / kVector) / sample]);
    Floats<N> r;
#pragma unroll
    for (int k = 0; k < N; ++k) r[k] = scales[static_cast<uint32_t>(i + k) / sample];
    return r;
  }
};

// U: the dtype of b, float where a saved float32 gradient is added to activations.
template <class T, class U>
struct AddForward {
  T* y;
  const T* a;
  const U* b;
  RowScale row_scale;

  template <int N>
  __device__ void run(int64_t i) const {
    Floats<N> v = load<N>(a + i);
    const Floats<N> second = load<N>(b + i);
    const Floats<N> scale = row_scale.at<N>(i);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = fmaf(scale[k], second[k], v[k]);
    store(y + i, v);
  }
};

template <class T>
struct AddBackward {
  T* da;
  T* db;
  const T* dy;
  RowScale row_scale;
  bool a_accumulates;
  bool b_accumulates;

  template <int N>
  __device__ void run(int64_t i) const {
    Floats<N> g = load<N>(dy + i);
    if (da) store_gradient(da + i, g, a_accumulates);
    if (!db) return;
    const Floats<N> scale = row_scale.at<N>(i);
#pragma unroll
    for (int k = 0; k < N; ++k) g[k] *= scale[k];
    store_gradient(db + i, g, b_accumulates);
  }
};

RowScale row_scale_of(Tensor row_scale, const Shape& shape) {
  if (!row_scale) return {};
  const int64_t sample = shape.elements() / std::max<int64_t>(shape[0], 1);
  const int64_t unit = sample % kVector == 0 ? kVector : 1;
  // A 64-bit division would cost more than the rest of the kernel.
  ensure(shape.elements() / unit <= UINT32_MAX, "a scaled sum of shape ", shape, " is too large");
  return {data<float>(row_scale), static_cast<uint32_t>(unit),
          static_cast<uint32_t>(std::max<int64_t>(sample / unit, 1))};
}

}  // namespace

void CudaBackend::add_forward(Tensor y, Tensor a, Tensor b, Tensor row_scale) {
  const RowScale scale = row_scale_of(row_scale, y.shape);
  with_activation(y.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    with_activation(b.dtype, [&](auto other) {
      using U = typename decltype(other)::type;
      run_elementwise("add_forward", queue(), y.elements(),
                      AddForward<T, U>{data<T>(y), data<T>(a), data<U>(b), scale});
    });
  });
}

void CudaBackend::add_backward(Gradient da, Gradient db, Tensor dy, Tensor row_scale) {
  if (!da.wanted() && !db.wanted()) return;
  const RowScale scale = row_scale_of(row_scale, dy.shape);
  with_activation(dy.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_elementwise("add_backward", queue(), dy.elements(),
                    AddBackward<T>{data<T>(da), data<T>(db), data<T>(dy), scale, da.accumulates(),
                                   db.accumulates()});
  });
}

}  // namespace countenance::cuda
