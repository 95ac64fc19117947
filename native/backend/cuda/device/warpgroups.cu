#include "backend/cuda/device/warpgroups.h"

#include <cstdlib>
#include <cstring>

#include "backend/cuda/device/handles.h"
#include "backend/cuda/device/launch.h"
#include "backend/cuda/device/wgmma.h"

namespace countenance::cuda {

namespace {

__global__ void compiled_with_wgmma_kernel(int* yes) { *yes = kHasWgmma; }

}  // namespace

bool has_warpgroups(const cudaDeviceProp& device, cudaStream_t stream) {
  if (device.major != 9 || device.minor != 0) return false;
  const char* wanted = std::getenv("COUNTENANCE_WGMMA");
  if (wanted && std::strcmp(wanted, "0") == 0) return false;
  const DeviceMemory answer = make_device_memory(sizeof(int));
  const PinnedMemory copy = make_pinned_memory(sizeof(int));
  launch("has_warpgroups", stream, {dim3(1), dim3(1)}, compiled_with_wgmma_kernel,
         static_cast<int*>(answer.data()));
  COUNTENANCE_CUDA(
      cudaMemcpyAsync(copy.data(), answer.data(), sizeof(int), cudaMemcpyDeviceToHost, stream));
  COUNTENANCE_CUDA(cudaStreamSynchronize(stream));
  return *static_cast<const int*>(copy.data()) != 0;
}

}  // namespace countenance::cuda
