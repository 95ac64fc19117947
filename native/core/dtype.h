#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace countenance {

enum class DType : uint8_t { F32, BF16, U8, I32 };

constexpr size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::F32:
    case DType::I32:
      return 4;
    case DType::BF16:
      return 2;
    case DType::U8:
      return 1;
  }
  return 0;
}

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return "float32";
    case DType::BF16:
      return "bfloat16";
    case DType::U8:
      return "uint8";
    case DType::I32:
      return "int32";
  }
  return "?";
}

// How a plan computes. FP32: everything in float32, the reference. BF16: activations and matrix
// operands in bfloat16; accumulation, master weights, statistics, softmax and losses in float32.
enum class Precision : uint8_t { FP32, BF16 };
inline constexpr Precision kPrecisions[] = {Precision::FP32, Precision::BF16};

constexpr const char* name_of(Precision precision) {
  return precision == Precision::FP32 ? "fp32" : "bf16";
}

constexpr DType activation_dtype(Precision precision) {
  return precision == Precision::FP32 ? DType::F32 : DType::BF16;
}

// To the nearest bfloat16, ties to even; NaN stays NaN.
inline uint16_t to_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

}  // namespace countenance
