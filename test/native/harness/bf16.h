#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

// bfloat16 on the host, for tests: the upper 16 bits of a float.

namespace countenance::test {

// To the nearest, ties to even; the values hold no NaN.
inline std::vector<uint16_t> to_bf16(const std::vector<float>& values) {
  std::vector<uint16_t> halves;
  halves.reserve(values.size());
  for (float v : values) {
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    halves.push_back(static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16));
  }
  return halves;
}

inline std::vector<float> from_bf16(const std::vector<uint16_t>& halves) {
  std::vector<float> values;
  values.reserve(halves.size());
  for (uint16_t half : halves) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float v;
    std::memcpy(&v, &bits, sizeof v);
    values.push_back(v);
  }
  return values;
}

inline std::vector<float> rounded_to_bf16(const std::vector<float>& values) {
  return from_bf16(to_bf16(values));
}

}  // namespace countenance::test
