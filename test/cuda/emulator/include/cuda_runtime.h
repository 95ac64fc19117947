#pragma once

// Stands in for CUDA's header of this name when kernels are compiled by g++ for the emulator: the
// part of CUDA C++ that the project's kernels use. A kernel that needs more adds it here.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../block.h"
#include "../runtime.h"
#include "../warp.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __grid_constant__
#define __constant__ static
#define __align__(bytes) alignas(bytes)
// There is no __shared__: kernels declare shared memory with the macros of
// backend/cuda/device/launch.h.

#define threadIdx (::emulator::current.thread)
#define blockIdx (::emulator::current.block)
#define blockDim (::emulator::current.block_dim)
#define gridDim (::emulator::current.grid_dim)
inline constexpr int warpSize = 32;

// ---- Vector types ----

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

// ---- Synchronisation ----

[[noreturn]] inline void __trap(emulator::Site site = emulator::Site::current()) {
  emulator::fail("__trap", site);
}
inline void __syncthreads(emulator::Site site = emulator::Site::current()) {
  emulator::block_barrier(false, site);
}
inline int __syncthreads_or(int predicate, emulator::Site site = emulator::Site::current()) {
  return emulator::block_barrier(predicate != 0, site).any;
}
inline int __syncthreads_and(int predicate, emulator::Site site = emulator::Site::current()) {
  return emulator::block_barrier(predicate != 0, site).all;
}
inline int __syncthreads_count(int predicate, emulator::Site site = emulator::Site::current()) {
  return emulator::block_barrier(predicate != 0, site).count;
}
inline void __syncwarp(uint32_t mask = 0xFFFFFFFFu,
                       emulator::Site site = emulator::Site::current()) {
  emulator::sync_warp(mask, site);
}
// Blocks run one after another and a thread's writes are visible at once.
inline void __threadfence() {}
inline void __threadfence_block() {}

// ---- Warp operations ----

namespace emulator {

template <class T>
T shuffle_value(uint32_t mask, T value, int source, Site site) {
  static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = shuffle(mask, bits, source, site);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The first lane of this lane's segment of `width` lanes.
inline int segment(int width) { return static_cast<int>(current.lane) / width * width; }

}  // namespace emulator

template <class T>
T __shfl_sync(uint32_t mask, T value, int source, int width = warpSize,
              emulator::Site site = emulator::Site::current()) {
  const int lane = emulator::segment(width) + (source & (width - 1));
  return emulator::shuffle_value(mask, value, lane, site);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = warpSize,
                  emulator::Site site = emulator::Site::current()) {
  const int source = static_cast<int>(emulator::current.lane) ^ lane_mask;
  return emulator::shuffle_value(mask, value,
                                 source < emulator::segment(width) + width ? source : -1, site);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = warpSize,
                   emulator::Site site = emulator::Site::current()) {
  const int source = static_cast<int>(emulator::current.lane + delta);
  return emulator::shuffle_value(mask, value,
                                 source < emulator::segment(width) + width ? source : -1, site);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = warpSize,
                 emulator::Site site = emulator::Site::current()) {
  const int source = static_cast<int>(emulator::current.lane) - static_cast<int>(delta);
  return emulator::shuffle_value(mask, value, source >= emulator::segment(width) ? source : -1,
                                 site);
}
inline uint32_t __ballot_sync(uint32_t mask, int predicate,
                              emulator::Site site = emulator::Site::current()) {
  return emulator::ballot(mask, predicate != 0, site);
}
inline int __any_sync(uint32_t mask, int predicate,
                      emulator::Site site = emulator::Site::current()) {
  return emulator::ballot(mask, predicate != 0, site) != 0;
}
inline int __all_sync(uint32_t mask, int predicate,
                      emulator::Site site = emulator::Site::current()) {
  return emulator::ballot(mask, predicate != 0, site) == mask;
}

#define EMULATOR_REDUCE(function, type, reduction)                                \
  inline type function(uint32_t mask, type value,                                 \
                       emulator::Site site = emulator::Site::current()) {         \
    return static_cast<type>(emulator::reduce(mask, static_cast<uint32_t>(value), \
                                              emulator::Reduction::reduction,     \
                                              std::is_signed_v<type>, site));     \
  }
EMULATOR_REDUCE(__reduce_add_sync, unsigned, Add)
EMULATOR_REDUCE(__reduce_add_sync, int, Add)
EMULATOR_REDUCE(__reduce_min_sync, unsigned, Min)
EMULATOR_REDUCE(__reduce_min_sync, int, Min)
EMULATOR_REDUCE(__reduce_max_sync, unsigned, Max)
EMULATOR_REDUCE(__reduce_max_sync, int, Max)
EMULATOR_REDUCE(__reduce_and_sync, unsigned, And)
EMULATOR_REDUCE(__reduce_or_sync, unsigned, Or)
EMULATOR_REDUCE(__reduce_xor_sync, unsigned, Xor)
#undef EMULATOR_REDUCE

// ---- Atomics, on integers only: sums of floats would depend on the order of the threads ----

template <class T>
T atomicAdd(T* place, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>);
  return __atomic_fetch_add(place, value, __ATOMIC_RELAXED);
}
template <class T>
T atomicMax(T* place, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>);
  T old = __atomic_load_n(place, __ATOMIC_RELAXED);
  while (old < value && !__atomic_compare_exchange_n(place, &old, value, false, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED)) {
  }
  return old;
}
template <class T>
T atomicMin(T* place, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>);
  T old = __atomic_load_n(place, __ATOMIC_RELAXED);
  while (value < old && !__atomic_compare_exchange_n(place, &old, value, false, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED)) {
  }
  return old;
}
template <class T>
T atomicExch(T* place, std::type_identity_t<T> value) {
  return __atomic_exchange_n(place, value, __ATOMIC_RELAXED);
}
template <class T>
T atomicCAS(T* place, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  __atomic_compare_exchange_n(place, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}

// ---- Mathematics: the host's functions, which differ from the device's by a rounding or two ----

using std::max;
using std::min;
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float normcdff(float x) {
  return static_cast<float>(0.5 * std::erfc(-0.70710678118654752 * static_cast<double>(x)));
}
// glibc declares a function of this name.
#define __expf(x) ::expf(x)
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline uint32_t __umulhi(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>(uint64_t{a} * b >> 32);
}
inline int __popc(uint32_t x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<uint32_t>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __int_as_float(int bits) { return __uint_as_float(static_cast<uint32_t>(bits)); }
inline int __float_as_int(float value) { return static_cast<int>(__float_as_uint(value)); }
template <class T>
T __ldg(const T* p) {
  return *p;
}
