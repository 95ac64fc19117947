#pragma once

#include "backend/cuda/device/queue.h"
#include "core/tensor.h"

namespace countenance::cuda {

// dbias (C) = the sums of dy (rows, C) over its rows; the workspace holds
// bias_gradient_workspace() bytes.
void bias_gradient(const Queue& queue, const Gradient& dbias, const Tensor& dy,
                   const Tensor& workspace);
size_t bias_gradient_workspace(int64_t rows, int64_t columns, int multiprocessors);

}  // namespace countenance::cuda
