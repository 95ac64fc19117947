#pragma once

// Kernel files include this header and nothing after it except headers of backend/cpu: after the
// includes here it switches the compiler to the instruction set of this pass. No -m flag does that,
// so no inline function of the standard library or of core/ is ever compiled for AVX-512 and then,
// merged by the linker, run on an older processor.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#if defined(COUNTENANCE_ISA_AVX512) || defined(COUNTENANCE_ISA_AVX2)
// g++ 12 warns about the undefined vectors that its own intrinsics begin with (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#include "backend/cpu/backend_class.h"
#include "backend/cpu/isa.h"
#include "core/philox.h"

#if defined(__clang__) && (defined(COUNTENANCE_ISA_AVX512) || defined(COUNTENANCE_ISA_AVX2))
#error "clang wants its target pragma closed at the end of each file: build with g++"
#elif defined(COUNTENANCE_ISA_AVX512)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi2,prefer-vector-width=512")
#elif defined(COUNTENANCE_ISA_AVX2)
#pragma GCC target("avx2,fma,f16c,bmi2")
#endif

// One float vector of the instruction set this file is compiled for. Kernels are written once on
// Vec and its width; only the matrix micro-kernels look closer.

namespace countenance::COUNTENANCE_CPU {

#if defined(COUNTENANCE_ISA_AVX512)

struct Vec {
  static constexpr int kWidth = 16;
  __m512 v;

  static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  // The first n < kWidth floats, zeros after them; nothing else is read.
  static Vec load(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(mask(n), p)}; }
  static Vec all(float x) { return {_mm512_set1_ps(x)}; }
  static Vec zero() { return {_mm512_setzero_ps()}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store(float* p, int64_t n) const { _mm512_mask_storeu_ps(p, mask(n), v); }
  static __mmask16 mask(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
};
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }  // a b + c
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec round(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// a > 0 ? b : 0, lane by lane.
inline Vec where_positive(Vec a, Vec b) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.v, _mm512_setzero_ps(), _CMP_GT_OQ), b.v)};
}
inline Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
// |a| with the sign of b.
inline Vec copy_sign(Vec a, Vec b) {
  const __m512 sign = _mm512_set1_ps(-0.0f);
  return {_mm512_or_ps(_mm512_andnot_ps(sign, a.v), _mm512_and_ps(sign, b.v))};
}
// a 2^n for an integral-valued n in the exponent's range.
inline Vec scale_by_power(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline float sum(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline float max(Vec a) { return _mm512_reduce_max_ps(a.v); }

#elif defined(COUNTENANCE_ISA_AVX2)

struct Vec {
  static constexpr int kWidth = 8;
  __m256 v;

  static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vec load(const float* p, int64_t n) { return {_mm256_maskload_ps(p, mask(n))}; }
  static Vec all(float x) { return {_mm256_set1_ps(x)}; }
  static Vec zero() { return {_mm256_setzero_ps()}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void store(float* p, int64_t n) const { _mm256_maskstore_ps(p, mask(n), v); }
  static __m256i mask(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
inline Vec round(Vec a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline Vec where_positive(Vec a, Vec b) {
  return {_mm256_and_ps(_mm256_cmp_ps(a.v, _mm256_setzero_ps(), _CMP_GT_OQ), b.v)};
}
inline Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline Vec copy_sign(Vec a, Vec b) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(sign, a.v), _mm256_and_ps(sign, b.v))};
}
inline Vec scale_by_power(Vec a, Vec n) {
  const __m256i exponent =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23);
  return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(exponent))};
}
inline float sum(Vec a) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
inline float max(Vec a) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

#else

struct Vec {
  static constexpr int kWidth = 4;
  typedef float Lanes __attribute__((vector_size(16)));
  Lanes v;

  static Vec load(const float* p) {
    Vec r;
    std::memcpy(&r.v, p, sizeof r.v);
    return r;
  }
  static Vec load(const float* p, int64_t n) {
    Vec r = zero();
    std::memcpy(&r.v, p, static_cast<size_t>(n) * sizeof(float));
    return r;
  }
  static Vec all(float x) { return {Lanes{x, x, x, x}}; }
  static Vec zero() { return {Lanes{}}; }
  void store(float* p) const { std::memcpy(p, &v, sizeof v); }
  void store(float* p, int64_t n) const {
    std::memcpy(p, &v, static_cast<size_t>(n) * sizeof(float));
  }
};
inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
inline Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
inline Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
inline Vec where_positive(Vec a, Vec b) { return {a.v > 0.0f ? b.v : Vec::Lanes{}}; }
template <class F>
inline Vec lane_by_lane(Vec a, F f) {
  return {Vec::Lanes{f(a.v[0]), f(a.v[1]), f(a.v[2]), f(a.v[3])}};
}
inline Vec sqrt(Vec a) {
  return lane_by_lane(a, [](float x) { return std::sqrt(x); });
}
inline Vec round(Vec a) {
  return lane_by_lane(a, [](float x) { return std::nearbyint(x); });
}
inline Vec abs(Vec a) {
  return lane_by_lane(a, [](float x) { return std::fabs(x); });
}
inline Vec copy_sign(Vec a, Vec b) {
  Vec r;
  for (int i = 0; i < Vec::kWidth; ++i) r.v[i] = std::copysign(a.v[i], b.v[i]);
  return r;
}
inline Vec scale_by_power(Vec a, Vec n) {
  Vec r;
  for (int i = 0; i < Vec::kWidth; ++i) r.v[i] = std::ldexp(a.v[i], static_cast<int>(n.v[i]));
  return r;
}
inline float sum(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
inline float max(Vec a) { return std::fmax(std::fmax(a.v[0], a.v[2]), std::fmax(a.v[1], a.v[3])); }

#endif

}  // namespace countenance::COUNTENANCE_CPU
