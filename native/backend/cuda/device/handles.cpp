#include "backend/cuda/device/handles.h"

namespace countenance::cuda {

DeviceMemory make_device_memory(size_t bytes) {
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0;
    size_t total = 0;
    COUNTENANCE_CUDA(cudaMemGetInfo(&free, &total));
    std::ostringstream message;
    message << "cannot allocate " << bytes << " bytes (" << (bytes >> 20)
            << " MiB) on the GPU: " << (free >> 20) << " of its " << (total >> 20)
            << " MiB are free";
    throw OutOfMemory(bytes, free, message.str());
  }
  check(error, "cudaMalloc");
  return {data, bytes};
}

PinnedMemory make_pinned_memory(size_t bytes) {
  void* data = nullptr;
  const cudaError_t error = cudaMallocHost(&data, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail(code::kOutOfMemory, "cannot allocate ", bytes, " bytes of pinned host memory");
  }
  check(error, "cudaMallocHost");
  return {data, bytes};
}

}  // namespace countenance::cuda
