#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/host_device.h"

namespace countenance {

// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a
// counter-based generator. The i-th number is a function of (key, counter) only, so any thread
// can draw any number and a resumed run draws the same ones.
struct Philox {
  struct Block {
    uint32_t words[4];
    COUNTENANCE_HOST_DEVICE constexpr uint32_t operator[](size_t i) const { return words[i]; }
  };

  COUNTENANCE_HOST_DEVICE static constexpr Block generate(Block counter, uint32_t key0,
                                                          uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
      const uint64_t product0 = uint64_t{0xD2511F53u} * counter[0];
      const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2];
      counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0,
                 static_cast<uint32_t>(product1),
                 static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1,
                 static_cast<uint32_t>(product0)};
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    return counter;
  }
};

// A stream of random numbers: `seed` chooses the run, `stream` the purpose (an op's mask, one
// sample's augmentation), `index` the place in the stream.
class RandomStream {
 public:
  COUNTENANCE_HOST_DEVICE RandomStream(uint64_t seed, uint64_t stream)
      : seed_(seed), stream_(stream) {}

  COUNTENANCE_HOST_DEVICE Philox::Block block(uint64_t index) const {
    return Philox::generate({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                             static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
                            static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32));
  }
  // The i-th 32-bit number of the stream; four consecutive ones share a block.
  COUNTENANCE_HOST_DEVICE uint32_t bits(uint64_t i) const { return block(i / 4)[i % 4]; }
  // Uniform in [0, 1) with 24 bits: exactly representable in float.
  COUNTENANCE_HOST_DEVICE float uniform(uint64_t i) const { return to_uniform(bits(i)); }
  // Standard normal (Box-Muller on blocks of their own).
  double normal(uint64_t i) const {
    const Philox::Block b = block(i);
    const double u = (static_cast<double>(b[0]) + 0.5) / 4294967296.0;
    const double v = (static_cast<double>(b[1]) + 0.5) / 4294967296.0;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

  COUNTENANCE_HOST_DEVICE static float to_uniform(uint32_t bits) {
    return static_cast<float>(bits >> 8) * (1.0f / 16777216.0f);
  }

 private:
  uint64_t seed_;
  uint64_t stream_;
};

// FNV-1a, 64 bits: turns names ("layer1.0.conv1.weight") into streams.
constexpr uint64_t hash_name(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  return hash;
}

}  // namespace countenance
