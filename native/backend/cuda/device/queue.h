#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace countenance::cuda {

// Address of what a kernel that draws random numbers adds to its stream: 0, or in a replayed
// recording the distance from the recorded step to this one.
using StreamShift = const uint64_t*;

// Where kernels are launched.
struct Queue {
  cudaStream_t stream;
  int multiprocessors;  // of the device

  operator cudaStream_t() const { return stream; }
};

}  // namespace countenance::cuda
