#pragma once

#include <cuda_bf16.h>

#include <string>
#include <vector>

#include "block.h"

// What the tests of planted bugs share.

namespace countenance::test {

inline const emulator::Order kOrders[] = {emulator::Order::Forward, emulator::Order::Reverse,
                                          emulator::Order::Random};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Small integers, exact in bfloat16, as are sums of some hundred of their products.
inline std::vector<float> digits(int n, int seed) {
  std::vector<float> values;
  for (int i = 0; i < n; ++i) values.push_back(static_cast<float>((i * 7 + i / 5 + seed) % 9 - 4));
  return values;
}

inline std::vector<__nv_bfloat16> bf16(const std::vector<float>& values) {
  std::vector<__nv_bfloat16> halves;
  for (float v : values) halves.push_back(__float2bfloat16_rn(v));
  return halves;
}

}  // namespace countenance::test
