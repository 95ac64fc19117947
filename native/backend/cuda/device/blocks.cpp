#include "backend/cuda/device/blocks.h"

namespace countenance::cuda {

CudaBlock::CudaBlock(std::shared_ptr<Blocks> blocks, size_t bytes)
    : blocks_(std::move(blocks)), memory_(make_device_memory(bytes)) {
  if (bytes) blocks_->all_[reinterpret_cast<uintptr_t>(data())] = this;
}

CudaBlock::~CudaBlock() { blocks_->all_.erase(reinterpret_cast<uintptr_t>(data())); }

CudaBlock* Blocks::find(const void* address) const {
  auto after = all_.upper_bound(reinterpret_cast<uintptr_t>(address));
  if (after == all_.begin()) return nullptr;
  --after;
  const bool inside = reinterpret_cast<uintptr_t>(address) < after->first + after->second->bytes();
  return inside ? after->second : nullptr;
}

}  // namespace countenance::cuda
