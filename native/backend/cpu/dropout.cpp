#include "backend/cpu/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

// Philox blocks drawn side by side, one a lane, so that the compiler vectorises the rounds.
constexpr int64_t kLanes = 16;
constexpr int64_t kDrawn = 4 * kLanes;

// out[i] = 0 or `kept`: the factor of element 4 first_block + i, from RandomStream's numbers.
void draw_factors(float* out, RandomKey key, uint64_t first_block, float probability, float kept) {
  uint32_t counter[4][kLanes];
  for (int64_t l = 0; l < kLanes; ++l) {
    const uint64_t index = first_block + static_cast<uint64_t>(l);
    counter[0][l] = static_cast<uint32_t>(index);
    counter[1][l] = static_cast<uint32_t>(index >> 32);
    counter[2][l] = static_cast<uint32_t>(key.stream);
    counter[3][l] = static_cast<uint32_t>(key.stream >> 32);
  }
  uint32_t key0 = static_cast<uint32_t>(key.seed);
  uint32_t key1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const uint64_t product0 = uint64_t{0xD2511F53u} * counter[0][l];
      const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2][l];
      counter[0][l] = static_cast<uint32_t>(product1 >> 32) ^ counter[1][l] ^ key0;
      counter[1][l] = static_cast<uint32_t>(product1);
      counter[2][l] = static_cast<uint32_t>(product0 >> 32) ^ counter[3][l] ^ key1;
      counter[3][l] = static_cast<uint32_t>(product0);
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  for (int64_t l = 0; l < kLanes; ++l) {
    for (int64_t k = 0; k < 4; ++k) {
      const float u = static_cast<float>(counter[k][l] >> 8) * (1.0f / 16777216.0f);
      out[4 * l + k] = u >= probability ? kept : 0.0f;
    }
  }
}

// out = in * factors (+ out): the forward pass and its own gradient.
void apply(ThreadPool& pool, float* out, const float* in, int64_t n, bool accumulates,
           float probability, RandomKey key) {
  const float kept = 1.0f / (1.0f - probability);
  with_constant(accumulates, [&](auto adds) {
    pool.parallel_for(n, kElementGrain, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; i += kDrawn) {
        float factors[kDrawn];
        draw_factors(factors, key, static_cast<uint64_t>(i / 4), probability, kept);
        const int64_t count = std::min(kDrawn, end - i);
        for_each_vector(0, count, [&](auto lanes, int64_t j) {
          store_gradient(lanes, out + i + j, lanes.load(in + i + j) * lanes.load(factors + j),
                         adds);
        });
      }
    });
  });
}

}  // namespace

void CpuBackend::dropout_forward(Tensor y, Tensor x, float probability, RandomKey key) {
  apply(pool_, y.f32(), x.f32(), x.elements(), false, probability, key);
}

void CpuBackend::dropout_backward(Gradient dx, Tensor dy, float probability, RandomKey key) {
  if (!dx.wanted()) return;
  apply(pool_, dx.tensor.f32(), dy.f32(), dy.elements(), dx.accumulates(), probability, key);
}

}  // namespace countenance::COUNTENANCE_CPU
