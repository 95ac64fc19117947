#pragma once

#include "backend/cpu/vectors/simd.h"

// Loops, comparisons and functions on Vec that several kernels share.

namespace countenance::COUNTENANCE_CPU {

// A whole vector, or the first n lanes of one: the body of a loop is written once for both.
struct WholeVector {
  static Vec load(const float* p) { return Vec::load(p); }
  static void store(float* p, Vec v) { v.store(p); }
  static constexpr int64_t lanes() { return Vec::kWidth; }
};
struct PartialVector {
  int64_t n;
  Vec load(const float* p) const { return Vec::load(p, n); }
  void store(float* p, Vec v) const { v.store(p, n); }
  int64_t lanes() const { return n; }
};

// f(lanes, i) for i = begin, begin + kWidth, ... < end; `lanes` loads and stores.
template <class F>
inline void for_each_vector(int64_t begin, int64_t end, F&& f) {
  int64_t i = begin;
  for (; i + Vec::kWidth <= end; i += Vec::kWidth) f(WholeVector{}, i);
  if (i < end) f(PartialVector{end - i}, i);
}

// f(std::true_type) or f(std::false_type): makes a flag of the call a constant of the loop.
template <class F>
inline void with_constant(bool flag, F&& f) {
  if (flag) {
    f(std::true_type{});
  } else {
    f(std::false_type{});
  }
}

// Stores a gradient as its mode specifies.
template <class Lanes, class Accumulates>
inline void store_gradient(Lanes lanes, float* p, Vec v, Accumulates) {
  lanes.store(p, Accumulates::value ? lanes.load(p) + v : v);
}

// NaN stays NaN, as in PyTorch: the second operand of max() wins when they are unordered.
inline Vec relu(Vec x) { return max(Vec::zero(), x); }

// Elements of one piece of an elementwise loop: 128 KiB per tensor, a multiple of every width.
inline constexpr int64_t kElementGrain = 1 << 15;

// Rows of one piece of a loop over (rows, C).
inline int64_t row_grain(int64_t channels) {
  return std::max<int64_t>(1, kElementGrain / std::max<int64_t>(channels, 1));
}

// e^x, 1.2 ulp on [-87.3, 88.3]; below it e^-87.3 = 1.2e-38, above it e^88.3; NaN stays NaN.
// x = n ln 2 + r, e^x = 2^n e^r; the polynomial is a minimax fit of relative error 1e-8.
inline Vec exp(Vec x) {
  x = max(Vec::all(-87.3f), min(Vec::all(88.3f), x));
  const Vec n = round(x * Vec::all(1.44269504f));
  // ln 2 in two parts, the first with 12 bits, so that n times it is exact.
  Vec r = fma(n, Vec::all(-0.693359375f), x);
  r = fma(n, Vec::all(2.12194440e-4f), r);
  Vec p = Vec::all(1.3901281594919448e-3f);
  p = fma(p, r, Vec::all(8.363140849823213e-3f));
  p = fma(p, r, Vec::all(4.1666853396647948e-2f));
  p = fma(p, r, Vec::all(0.16666577317122705f));
  p = fma(p, r, Vec::all(0.49999999552769964f));
  p = fma(p, r * r, r) + Vec::all(1.0f);
  return scale_by_power(p, n);
}

// x = mantissa 2^exponent with 1 <= mantissa < 2, for positive normal numbers.
struct Parts {
  Vec mantissa;
  Vec exponent;
};
#if defined(COUNTENANCE_ISA_AVX512)
inline Parts parts_of(Vec x) {
  return {{_mm512_getmant_ps(x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero)}, {_mm512_getexp_ps(x.v)}};
}
#elif defined(COUNTENANCE_ISA_AVX2)
inline Parts parts_of(Vec x) {
  const __m256i bits = _mm256_castps_si256(x.v);
  const __m256i exponent = _mm256_sub_epi32(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(127));
  const __m256i mantissa = _mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x7fffff)),
                                           _mm256_set1_epi32(0x3f800000));
  return {{_mm256_castsi256_ps(mantissa)}, {_mm256_cvtepi32_ps(exponent)}};
}
#else
inline Parts parts_of(Vec x) {
  Parts parts;
  for (int i = 0; i < Vec::kWidth; ++i) {
    int exponent = 0;
    parts.mantissa.v[i] = 2 * std::frexp(x.v[i], &exponent);
    parts.exponent.v[i] = static_cast<float>(exponent - 1);
  }
  return parts;
}
#endif

// log x for positive normal x, to 1e-7 absolute and a few ulp: log(mantissa / sqrt 2) is the series
// of 2 atanh(s), s = (mantissa - sqrt 2) / (mantissa + sqrt 2), |s| < 0.172.
inline Vec log(Vec x) {
  const Parts parts = parts_of(x);
  const Vec root = Vec::all(1.41421356f);
  const Vec s = (parts.mantissa - root) / (parts.mantissa + root);
  const Vec s2 = s * s;
  Vec p = fma(s2, Vec::all(2.0f / 7), Vec::all(2.0f / 5));
  p = fma(p, s2, Vec::all(2.0f / 3));
  p = fma(p, s2, Vec::all(2.0f));
  return fma(parts.exponent, Vec::all(0.693147181f), fma(p, s, Vec::all(0.346573590f)));
}

// The normal distribution at x: cdf = Phi(x) = (1 + erf(x / sqrt 2)) / 2 and
// kernel = e^(-x^2 / 2). For x < 0, Phi(x) = kernel erfcx(-x / sqrt 2) / 2, so that the lower tail
// keeps its relative accuracy (1e-6 at x = -5); elsewhere the error is below 1e-7.
// erfcx(t) = e^(t^2) erfc(t) is a minimax polynomial in (t - 3) / (t + 3) on 0 <= t <= 9.5, of
// relative error 3e-8.
struct Normal {
  Vec cdf;
  Vec kernel;
};
inline Normal normal_distribution(Vec x) {
  const Vec kernel = exp(x * x * Vec::all(-0.5f));
  const Vec t = min(Vec::all(9.4f), abs(x) * Vec::all(0.70710678f));
  const Vec w = (t - Vec::all(3.0f)) / (t + Vec::all(3.0f));
  Vec p = Vec::all(-7.50910742076383e-5f);
  p = fma(p, w, Vec::all(-6.013884058785942e-4f));
  p = fma(p, w, Vec::all(7.875755972648986e-4f));
  p = fma(p, w, Vec::all(4.286946751137142e-3f));
  p = fma(p, w, Vec::all(-2.4412508114250425e-2f));
  p = fma(p, w, Vec::all(7.16617552547914e-2f));
  p = fma(p, w, Vec::all(-0.15011382939576126f));
  p = fma(p, w, Vec::all(0.24560403058168706f));
  p = fma(p, w, Vec::all(-0.3262336256709638f));
  p = fma(p, w, Vec::all(0.179001149946695f));
  const Vec tail = Vec::all(0.5f) * kernel * p;
  // tail for x <= 0, 1 - tail for x > 0.
  const Vec cdf = tail + where_positive(x, Vec::all(1.0f) - (tail + tail));
  return {cdf, kernel};
}

// sum_i a_i b_i: lanes in float over stretches of 512 elements, the stretches in double.
inline double dot(const float* a, const float* b, int64_t n) {
  constexpr int64_t kStretch = 512;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kStretch) {
    const int64_t end = std::min(begin + kStretch, n);
    Vec s0 = Vec::zero();
    Vec s1 = Vec::zero();
    int64_t i = begin;
    for (; i + 2 * Vec::kWidth <= end; i += 2 * Vec::kWidth) {
      s0 = fma(Vec::load(a + i), Vec::load(b + i), s0);
      s1 = fma(Vec::load(a + i + Vec::kWidth), Vec::load(b + i + Vec::kWidth), s1);
    }
    for_each_vector(i, end, [&](auto lanes, int64_t at) {
      s0 = fma(lanes.load(a + at), lanes.load(b + at), s0);
    });
    total += sum(s0 + s1);
  }
  return total;
}

// 1 / |v| for hat(v) = v / |v|. A vector shorter than 1e-12 has no direction: hat(v) = 0 there,
// with zero gradient, instead of NaN.
inline double inverse_norm(const float* v, int64_t n) {
  const double norm = std::sqrt(dot(v, v, n));
  return norm < 1e-12 ? 0.0 : 1.0 / norm;
}

// The terms of a reduction (rows, windows), split by the shape only, so that no result depends on
// the threads: enough slices for many threads, few enough to combine them cheaply.
struct Slices {
  Slices(int64_t terms, int64_t wanted) : total(terms) {
    const int64_t at_most = std::clamp<int64_t>(wanted, 1, 64);
    size = std::max<int64_t>((terms + at_most - 1) / at_most, 1);
    count = (terms + size - 1) / size;
  }
  int64_t begin(int64_t slice) const { return slice * size; }
  int64_t end(int64_t slice) const { return std::min(total, (slice + 1) * size); }
  int64_t length(int64_t slice) const { return end(slice) - begin(slice); }

  int64_t total;
  int64_t size;
  int64_t count;
};

// The rows of (rows, C) in slices of about 64 Ki elements: two tensors' parts fit in the L2 cache.
inline Slices row_slices(int64_t rows, int64_t channels) {
  return {rows, (rows * channels + (1 << 16) - 1) >> 16};
}

// Sums of many rows fold into a second sum every few rows: the rounding error grows with the
// root of 64 and of the number of folds instead of the number of rows.
inline constexpr int64_t kFoldRows = 64;

// Channels whose sums live in registers together: kBlockVectors vectors.
#if defined(COUNTENANCE_ISA_AVX512)
inline constexpr int kBlockVectors = 8;
#else
inline constexpr int kBlockVectors = 4;
#endif

// f(vectors, lanes, channel) over the channels: blocks of kBlockVectors vectors, then of half as
// many, then single ones.
template <class F>
inline void for_each_channel_block(int64_t channels, F&& f) {
  constexpr int kHalf = kBlockVectors / 2;
  constexpr int64_t kBlock = int64_t{kBlockVectors} * Vec::kWidth;
  int64_t c = 0;
  for (; c + kBlock <= channels; c += kBlock) {
    f(std::integral_constant<int, kBlockVectors>{}, WholeVector{}, c);
  }
  if (c + kBlock / 2 <= channels) {
    f(std::integral_constant<int, kHalf>{}, WholeVector{}, c);
    c += kBlock / 2;
  }
  for_each_vector(c, channels,
                  [&](auto lanes, int64_t i) { f(std::integral_constant<int, 1>{}, lanes, i); });
}

}  // namespace countenance::COUNTENANCE_CPU
