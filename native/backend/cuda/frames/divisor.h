#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/error.h"

namespace countenance::cuda {

// Division of a number from 0 to 2^31 - 1 by a divisor known on the host: a multiplication and a
// shift (Granlund and Montgomery, "Division by invariant integers using multiplication").
struct Divisor {
  uint32_t value = 1;
  uint32_t factor = 1;
  uint32_t shift = 0;

  Divisor() = default;
  explicit Divisor(int64_t divisor) : value(static_cast<uint32_t>(divisor)) {
    ensure(divisor >= 1 && divisor <= INT32_MAX, "a divisor of ", divisor);
    while ((uint64_t{1} << shift) < value) ++shift;
    factor =
        static_cast<uint32_t>((uint64_t{1} << 32) * ((uint64_t{1} << shift) - value) / value + 1);
  }

  __device__ __forceinline__ int divide(int n) const {
    const uint32_t u = static_cast<uint32_t>(n);
    return static_cast<int>((__umulhi(factor, u) + u) >> shift);
  }
};

// n = quotient divisor + rest.
struct Division {
  int quotient;
  int rest;

  __device__ __forceinline__ Division(int n, const Divisor& divisor)
      : quotient(divisor.divide(n)), rest(n - quotient * static_cast<int>(divisor.value)) {}
};

}  // namespace countenance::cuda
