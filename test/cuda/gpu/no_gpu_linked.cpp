#include "backend/cuda_plugin.h"
#include "no_gpu.h"

// For programs that are linked with the plugin's objects.

extern "C" const countenance::CudaPlugin* countenance_cuda_plugin();

namespace countenance::test {

std::string why_no_gpu() {
  CudaStatus status{};
  countenance_cuda_plugin()->status(&status);
  return status.devices == 0 ? status.reason : "";
}

}  // namespace countenance::test
