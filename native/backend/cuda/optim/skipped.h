#pragma once

#include "backend/cuda/device/kernel_types.h"

namespace countenance::cuda {

// A gradient_scale of NaN: the step must be skipped (Backend::clip_gradient).
__device__ __forceinline__ bool is_skipped(float gradient_scale) {
  return gradient_scale != gradient_scale;
}

}  // namespace countenance::cuda
