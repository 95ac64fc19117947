#pragma once

#include <set>

#include "backend/backend.h"
#include "backend/cuda/device/blocks.h"
#include "backend/cuda/device/handles.h"

namespace countenance::cuda {

// A CUDA graph, and what its replays must know about the bfloat16 copies of weights: whether a copy
// is up to date can differ between the recording and a replay. Blocks are identified by address.
class CudaRecording final : public Recording {
 public:
  GraphExec exec;
  std::set<const void*> read;     // copies that must be up to date before
  std::set<const void*> written;  // blocks whose copies are out of date afterwards
};

}  // namespace countenance::cuda
