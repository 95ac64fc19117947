#pragma once

#include "backend/cuda/attention/window_attention.h"
#include "backend/cuda/device/queue.h"

// Window attention for windows whose scores do not fit into a block's shared memory: from 12 x 12
// tokens, in the backward pass from 10 x 10. Every score is recomputed wherever it is needed, so
// that nothing grows with the square of the number of tokens; correct but slow. T: float or
// __nv_bfloat16.

namespace countenance::cuda {

// Tokens per side of the largest window; the CPU's limit is smaller.
inline constexpr int kLargestWindow = 40;

// Throw ERR_UNSUPPORTED beyond kLargestWindow. name: the Backend's method.
template <class T>
void large_attention_forward(const char* name, const Queue& queue,
                             const AttentionForward<T>& tensors, const AttentionLayout& layout,
                             const AttentionSlices& slices);
template <class T>
void large_attention_backward(const char* name, const Queue& queue,
                              const AttentionBackward<T>& tensors, const AttentionLayout& layout,
                              const AttentionSlices& slices);

}  // namespace countenance::cuda
