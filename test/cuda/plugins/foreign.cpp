// A plugin built from other sources: it must not be used, whatever else it says.
#include <cstdlib>

#include "backend/cuda_plugin.h"

namespace {

const countenance::CudaPlugin kPlugin{
    "0123456789abcdef, another library", [](countenance::CudaStatus*) { std::abort(); },
    [](int, countenance::CudaDevice*, char*) {
      std::abort();
      return 0;
    },
    [](int, const char**, char*) -> countenance::Backend* { std::abort(); }};

}  // namespace

extern "C" __attribute__((visibility("default"))) const countenance::CudaPlugin*
countenance_cuda_plugin() {
  return &kPlugin;
}
