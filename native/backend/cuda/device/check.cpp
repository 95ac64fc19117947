#include "backend/cuda/device/check.h"

namespace countenance::cuda {

namespace {

const char* code_of(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return code::kOutOfMemory;
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
      return code::kDeviceUnavailable;
    default:
      return code::kInternal;
  }
}

}  // namespace

void check(cudaError_t result, const char* command) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // clears a recoverable error
  fail(code_of(result), "CUDA: ", command, ": ", cudaGetErrorName(result), " (",
       cudaGetErrorString(result), ")");
}

}  // namespace countenance::cuda
