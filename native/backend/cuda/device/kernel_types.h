#pragma once

#include <cuda_bf16.h>

#include <algorithm>
#include <cstdint>

#include "core/tensor.h"

// From a Tensor to what kernels see.

namespace countenance::cuda {

template <class T>
struct Type {
  using type = T;
};

// f(Type<float>{}) or f(Type<__nv_bfloat16>{}): `using T = typename decltype(type)::type;`
template <class F>
void with_activation(DType dtype, F&& f) {
  if (dtype == DType::F32) return f(Type<float>{});
  if (dtype == DType::BF16) return f(Type<__nv_bfloat16>{});
  ensure(false, "expected activations but the tensor is ", name_of(dtype));
}

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::F32;
}
template <>
constexpr DType dtype_of<__nv_bfloat16>() {
  return DType::BF16;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::U8;
}

// The numbers of a tensor, null for an absent one. Kernels load 16 bytes at once, so that every
// tensor starts at a multiple of 16.
template <class T>
T* data(const Tensor& tensor) {
  if (!tensor) return nullptr;
  ensure(tensor.dtype == dtype_of<T>(), "expected a ", name_of(dtype_of<T>()), " tensor but it is ",
         name_of(tensor.dtype));
  ensure(reinterpret_cast<uintptr_t>(tensor.data) % 16 == 0, "a tensor is not aligned to 16 bytes");
  return static_cast<T*>(tensor.data);
}

// The same for a gradient, null when it is not wanted.
template <class T>
T* data(const Gradient& gradient) {
  return gradient.wanted() ? data<T>(gradient.tensor) : nullptr;
}

// A size that kernels keep in 32 bits.
inline int to_int(int64_t size) {
  ensure(size >= 0 && size <= INT32_MAX, "a size of ", size, " is too large for one operation");
  return static_cast<int>(size);
}

template <class Integer>
constexpr Integer divide_up(Integer a, Integer b) {
  return (a + b - 1) / b;
}

}  // namespace countenance::cuda
