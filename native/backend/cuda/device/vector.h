#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "backend/cuda/device/ptx.h"

// Numbers in memory are float or __nv_bfloat16, in registers always float.

namespace countenance::cuda {

template <int N>
struct Floats {
  float v[N];

  __device__ __forceinline__ float& operator[](int i) { return v[i]; }
  __device__ __forceinline__ float operator[](int i) const { return v[i]; }
};

template <int N>
__device__ __forceinline__ Floats<N> all(float x) {
  Floats<N> r;
#pragma unroll
  for (int i = 0; i < N; ++i) r[i] = x;
  return r;
}

// The two numbers of a pair of bfloat16, the first in the lower half.
__device__ __forceinline__ float low_float(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_float(uint32_t pair) {
  return __uint_as_float(pair & 0xFFFF0000u);
}
__device__ __forceinline__ uint32_t bf16_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

// N numbers from p, in accesses of up to 16 bytes, to which p is aligned.
template <int N>
__device__ __forceinline__ Floats<N> load(const float* p) {
  static_assert(N == 1 || N == 2 || N % 4 == 0);
  Floats<N> r;
  if constexpr (N == 1) {
    r[0] = *p;
  } else if constexpr (N == 2) {
    check_aligned(p, 8);
    const float2 pair = *reinterpret_cast<const float2*>(p);
    r[0] = pair.x;
    r[1] = pair.y;
  } else {
    check_aligned(p, 16);
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(p + i);
      r[i] = four.x;
      r[i + 1] = four.y;
      r[i + 2] = four.z;
      r[i + 3] = four.w;
    }
  }
  return r;
}
template <int N>
__device__ __forceinline__ Floats<N> load(const __nv_bfloat16* p) {
  static_assert(N == 1 || N == 2 || N == 4 || N % 8 == 0);
  Floats<N> r;
  if constexpr (N == 1) {
    r[0] = __bfloat162float(*p);
  } else if constexpr (N == 2) {
    check_aligned(p, 4);
    const uint32_t pair = *reinterpret_cast<const uint32_t*>(p);
    r[0] = low_float(pair);
    r[1] = high_float(pair);
  } else if constexpr (N == 4) {
    check_aligned(p, 8);
    const uint2 pairs = *reinterpret_cast<const uint2*>(p);
    r[0] = low_float(pairs.x);
    r[1] = high_float(pairs.x);
    r[2] = low_float(pairs.y);
    r[3] = high_float(pairs.y);
  } else {
    check_aligned(p, 16);
#pragma unroll
    for (int i = 0; i < N; i += 8) {
      const uint4 pairs = *reinterpret_cast<const uint4*>(p + i);
      r[i] = low_float(pairs.x);
      r[i + 1] = high_float(pairs.x);
      r[i + 2] = low_float(pairs.y);
      r[i + 3] = high_float(pairs.y);
      r[i + 4] = low_float(pairs.z);
      r[i + 5] = high_float(pairs.z);
      r[i + 6] = low_float(pairs.w);
      r[i + 7] = high_float(pairs.w);
    }
  }
  return r;
}

template <int N>
__device__ __forceinline__ void store(float* p, const Floats<N>& v) {
  static_assert(N == 1 || N == 2 || N % 4 == 0);
  if constexpr (N == 1) {
    *p = v[0];
  } else if constexpr (N == 2) {
    check_aligned(p, 8);
    *reinterpret_cast<float2*>(p) = make_float2(v[0], v[1]);
  } else {
    check_aligned(p, 16);
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      *reinterpret_cast<float4*>(p + i) = make_float4(v[i], v[i + 1], v[i + 2], v[i + 3]);
    }
  }
}
template <int N>
__device__ __forceinline__ void store(__nv_bfloat16* p, const Floats<N>& v) {
  static_assert(N == 1 || N == 2 || N == 4 || N % 8 == 0);
  if constexpr (N == 1) {
    *p = __float2bfloat16_rn(v[0]);
  } else if constexpr (N == 2) {
    check_aligned(p, 4);
    *reinterpret_cast<uint32_t*>(p) = bf16_pair(v[0], v[1]);
  } else if constexpr (N == 4) {
    check_aligned(p, 8);
    *reinterpret_cast<uint2*>(p) = make_uint2(bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]));
  } else {
    check_aligned(p, 16);
#pragma unroll
    for (int i = 0; i < N; i += 8) {
      *reinterpret_cast<uint4*>(p + i) =
          make_uint4(bf16_pair(v[i], v[i + 1]), bf16_pair(v[i + 2], v[i + 3]),
                     bf16_pair(v[i + 4], v[i + 5]), bf16_pair(v[i + 6], v[i + 7]));
    }
  }
}

// Stores a gradient as its mode specifies; the flag is the same for the whole grid.
template <int N, class T>
__device__ __forceinline__ void store_gradient(T* p, Floats<N> v, bool accumulates) {
  if (accumulates) {
    const Floats<N> old = load<N>(p);
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] += old[i];
  }
  store(p, v);
}

// NaN stays NaN, as on the CPU and in PyTorch; fmaxf would drop it.
__device__ __forceinline__ float relu(float x) { return x < 0.0f ? 0.0f : x; }

}  // namespace countenance::cuda
