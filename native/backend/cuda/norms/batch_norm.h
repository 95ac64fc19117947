#pragma once

#include "backend/attributes.h"
#include "backend/cuda/device/queue.h"
#include "backend/operands.h"

namespace countenance::cuda {

// Moments of x (rows, C) by blocks of `block_rows` consecutive rows, of which the last may be
// shorter: each channel's mean and its sum of squares about it, both (blocks, C). The variance
// between blocks is that of the means, which float would lose far from 0.
struct RowMoments {
  const double* mean;
  const float* square;
  int64_t block_rows;
};

// The rest of CudaBackend::batch_norm_forward, after the moments of x are known.
void batch_norm_from_moments(const Queue& queue, const BatchNormForward& t,
                             const RowMoments& moments, const BatchNormAttributes& attributes);

}  // namespace countenance::cuda
