#pragma once

#include "backend/cuda/frames/elementwise.h"

namespace countenance::cuda {

static_assert(kGroupElements % kVector == 0, "a vector is in one group");

// The rates of an optimizer's elements, a row of kRates for each group.
template <int kRates>
struct GroupRates {
  const uint8_t* groups;  // may be absent: all elements follow the first row
  const float* rates;

  // The row of element i.
  __device__ __forceinline__ const float* at(int64_t i) const {
    return groups ? rates + groups[i / kGroupElements] * kRates : rates;
  }
};

}  // namespace countenance::cuda
