#include "backend/cpu/backend_class.h"

namespace countenance::COUNTENANCE_CPU {

void CpuBackend::restore_skipped(Tensor x, Tensor saved, Tensor gradient_scale) {
  if (is_skipped(gradient_scale)) copy(x, saved);
}

}  // namespace countenance::COUNTENANCE_CPU
