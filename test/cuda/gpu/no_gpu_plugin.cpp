#include "backend/cuda_loader.h"
#include "no_gpu.h"

// For programs that open the plugin as the addon does.

namespace countenance::test {

std::string why_no_gpu() {
  const CudaInfo info = cuda_info();
  return info.devices.empty() ? info.reason : "";
}

}  // namespace countenance::test
