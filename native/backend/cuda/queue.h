#pragma once

#include <cuda_runtime.h>

namespace countenance::cuda {

// Where kernels go.
struct Queue {
  cudaStream_t stream;
  int multiprocessors;  // of the device

  operator cudaStream_t() const { return stream; }
};

}  // namespace countenance::cuda
