#pragma once

#include "backend/cpu/vectors/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

static_assert(kGroupElements % Vec::kWidth == 0, "a vector is in one group");

// Calls f(begin, end, row), in order, for each run of [begin, end) that shares one row of `rates`.
// begin is a multiple of kGroupElements.
template <class F>
inline void for_each_group(Tensor groups, Tensor rates, int64_t begin, int64_t end, F&& f) {
  if (!groups) return f(begin, end, rates.f32());
  const uint8_t* group = groups.u8();
  while (begin < end) {
    const uint8_t first = group[begin / kGroupElements];
    int64_t stop = begin + kGroupElements;
    while (stop < end && group[stop / kGroupElements] == first) stop += kGroupElements;
    stop = std::min(stop, end);
    f(begin, stop, rates.f32() + first * rates.shape[1]);
    begin = stop;
  }
}

}  // namespace countenance::COUNTENANCE_CPU
