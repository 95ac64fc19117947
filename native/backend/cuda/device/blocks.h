#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <map>
#include <memory>

#include "backend/backend.h"
#include "backend/cuda/device/handles.h"

namespace countenance::cuda {

class Blocks;

// Memory handed out by CudaBackend::allocate, with the bfloat16 copy of its numbers where tensor
// cores read it as weights.
class CudaBlock final : public DeviceBlock {
 public:
  CudaBlock(std::shared_ptr<Blocks> blocks, size_t bytes);
  ~CudaBlock() override;

  void* data() const override { return memory_.data(); }
  size_t bytes() const override { return memory_.bytes(); }

  DeviceMemory bf16;        // half as many bytes; empty until requested
  bool bf16_fresh = false;  // equal to the numbers

 private:
  std::shared_ptr<Blocks> blocks_;
  DeviceMemory memory_;
};

// The blocks of a backend that are in use, by address. It lives as long as the last of them, which
// may be longer than the backend.
class Blocks {
 public:
  // The block that holds an address; null for memory from elsewhere.
  CudaBlock* find(const void* address) const;

 private:
  friend class CudaBlock;
  std::map<uintptr_t, CudaBlock*> all_;
};

}  // namespace countenance::cuda
