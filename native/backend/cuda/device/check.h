#pragma once

#include <cuda_runtime.h>

#include "core/error.h"

namespace countenance::cuda {

// Throws for any result but cudaSuccess: ERR_OUT_OF_MEMORY, ERR_DEVICE_UNAVAILABLE or ERR_INTERNAL,
// with the failed command and CUDA's message. After an error in a kernel every later command fails.
void check(cudaError_t result, const char* command);

}  // namespace countenance::cuda

#define COUNTENANCE_CUDA(command) ::countenance::cuda::check(command, #command)
