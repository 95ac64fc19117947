#pragma once

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "backend/cpu/cpu_backend.h"

// The float32 multiply-adds that this processor can do at most: what the speed of a product is
// measured against.

namespace countenance::peak {

// Independent chains: more than the latency of a multiply-add times those done per cycle.
constexpr int kChains = 12;
constexpr int64_t kRounds = 1 << 20;

// kRounds multiply-adds of a vector for each of the chains, which stay in registers.
#define COUNTENANCE_PEAK(NAME, TARGET, BYTES)                                              \
  TARGET inline float NAME() {                                                             \
    typedef float Vector __attribute__((vector_size(BYTES)));                              \
    Vector a = {};                                                                         \
    a += 0.999f;                                                                           \
    Vector s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a;                                 \
    Vector s6 = a, s7 = a, s8 = a, s9 = a, s10 = a, s11 = a;                               \
    for (int64_t round = 0; round < kRounds; ++round) {                                    \
      s0 = s0 * a + a, s1 = s1 * a + a, s2 = s2 * a + a, s3 = s3 * a + a;                  \
      s4 = s4 * a + a, s5 = s5 * a + a, s6 = s6 * a + a, s7 = s7 * a + a;                  \
      s8 = s8 * a + a, s9 = s9 * a + a, s10 = s10 * a + a, s11 = s11 * a + a;              \
      asm volatile(""                                                                      \
                   : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5), "+x"(s6), \
                     "+x"(s7), "+x"(s8), "+x"(s9), "+x"(s10), "+x"(s11));                  \
    }                                                                                      \
    s0 += s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;                          \
    return s0[0];                                                                          \
  }
#if defined(__x86_64__)
COUNTENANCE_PEAK(multiply_add_avx512, __attribute__((target("avx512f"))), 64)
COUNTENANCE_PEAK(multiply_add_avx2, __attribute__((target("avx2,fma"))), 32)
#endif
#undef COUNTENANCE_PEAK

struct Probe {
  float (*run)();
  int width;
};

inline Probe probe_of([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::Avx512) return {multiply_add_avx512, 16};
  if (isa == Isa::Avx2) return {multiply_add_avx2, 8};
#endif
  return {nullptr, 0};
}

// FLOP/s of `threads` threads together, the best of a few tries; 0 where it is not known how.
inline double flops_per_second(Isa isa, int threads) {
  const Probe probe = probe_of(isa);
  if (!probe.run) return 0;
  double best = 0;
  for (int attempt = 0; attempt < 5; ++attempt) {
    std::vector<std::thread> others;
    std::vector<float> results(static_cast<size_t>(threads));
    const auto start = std::chrono::steady_clock::now();
    for (int t = 1; t < threads; ++t) {
      others.emplace_back([&, t] { results[static_cast<size_t>(t)] = probe.run(); });
    }
    results[0] = probe.run();
    for (std::thread& other : others) other.join();
    const double flops = 2.0 * kChains * probe.width * static_cast<double>(kRounds) * threads;
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::max(best, flops / taken.count());
  }
  return best;
}

}  // namespace countenance::peak
