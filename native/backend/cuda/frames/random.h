#pragma once

#include "backend/attributes.h"
#include "backend/cuda/device/queue.h"
#include "core/philox.h"

namespace countenance::cuda {

// An operation's random numbers on the device (core/philox.h: the same as on the CPU).
struct DeviceRandom {
  RandomKey key;
  StreamShift shift;

  __device__ __forceinline__ RandomStream stream() const {
    return RandomStream(key.seed, key.stream + *shift);
  }
};

}  // namespace countenance::cuda
