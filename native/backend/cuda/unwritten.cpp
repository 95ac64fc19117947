// What the backend still lacks: each of these moves to a file named as in backend/cpu. The file
// goes with the last of them, before the backend becomes part of the default build.
#include "backend/cuda/backend_class.h"

namespace countenance::cuda {

namespace {
[[noreturn]] void unwritten(const char* name) {
  fail(code::kUnsupported, name, " is not written for CUDA yet");
}
}  // namespace

void CudaBackend::max_pool_forward(Tensor, Tensor, Tensor, const MaxPoolAttributes&) {
  unwritten("max_pool_forward");
}
void CudaBackend::max_pool_backward(Gradient, Tensor, Tensor, const MaxPoolAttributes&) {
  unwritten("max_pool_backward");
}
void CudaBackend::global_average_pool_forward(Tensor, Tensor) {
  unwritten("global_average_pool_forward");
}
void CudaBackend::global_average_pool_backward(Gradient, Tensor) {
  unwritten("global_average_pool_backward");
}
void CudaBackend::patch_merge_forward(Tensor, Tensor) { unwritten("patch_merge_forward"); }
void CudaBackend::patch_merge_backward(Gradient, Tensor) { unwritten("patch_merge_backward"); }

}  // namespace countenance::cuda
