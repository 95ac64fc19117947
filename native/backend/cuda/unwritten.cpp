// What the backend still lacks: each of these moves to a file named as in backend/cpu. The file
// goes with the last of them, before the backend becomes part of the default build.
#include "backend/cuda/backend_class.h"

namespace countenance::cuda {

namespace {
[[noreturn]] void unwritten(const char* name) {
  fail(code::kUnsupported, name, " is not written for CUDA yet");
}
}  // namespace

size_t CudaBackend::window_attention_workspace(const Shape&,
                                               const WindowAttentionAttributes&) const {
  unwritten("window_attention_workspace");
}
void CudaBackend::window_attention_forward(Tensor, Tensor, Tensor, Tensor,
                                           const WindowAttentionAttributes&, Tensor) {
  unwritten("window_attention_forward");
}
void CudaBackend::window_attention_backward(Gradient, Gradient, Tensor, Tensor, Tensor, Tensor,
                                            Tensor, const WindowAttentionAttributes&, Tensor) {
  unwritten("window_attention_backward");
}

}  // namespace countenance::cuda
