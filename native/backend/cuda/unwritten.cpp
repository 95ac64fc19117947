// What the backend still lacks: each of these moves to a file named as in backend/cpu. The file
// goes with the last of them, before the backend becomes part of the default build.
#include "backend/cuda/backend_class.h"

namespace countenance::cuda {

namespace {
[[noreturn]] void unwritten(const char* name) {
  fail(code::kUnsupported, name, " is not written for CUDA yet");
}
}  // namespace

size_t CudaBackend::batch_norm_workspace(const Shape&) const { unwritten("batch_norm_workspace"); }
void CudaBackend::batch_norm_forward(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor,
                                     Tensor, const BatchNormAttributes&, Tensor) {
  unwritten("batch_norm_forward");
}
void CudaBackend::batch_norm_backward(Gradient, Gradient, Gradient, Gradient, Tensor, Tensor,
                                      Tensor, Tensor, Tensor, Tensor, const BatchNormAttributes&,
                                      Tensor) {
  unwritten("batch_norm_backward");
}
void CudaBackend::batch_norm_fold(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor,
                                  const BatchNormAttributes&) {
  unwritten("batch_norm_fold");
}
size_t CudaBackend::layer_norm_workspace(const Shape&) const { unwritten("layer_norm_workspace"); }
void CudaBackend::layer_norm_forward(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, float) {
  unwritten("layer_norm_forward");
}
void CudaBackend::layer_norm_backward(Gradient, Gradient, Gradient, Tensor, Tensor, Tensor, Tensor,
                                      Tensor, Tensor) {
  unwritten("layer_norm_backward");
}
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
size_t CudaBackend::objective_workspace(const Shape&, const Shape&) const {
  unwritten("objective_workspace");
}
void CudaBackend::objective(Tensor, Tensor, Gradient, Gradient, Tensor, Tensor, Tensor, Tensor,
                            const ObjectiveAttributes&, Tensor) {
  unwritten("objective");
}

}  // namespace countenance::cuda
