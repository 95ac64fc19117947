#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "block.h"

// The products of wgmma: a thread computes its own sums. What is read between issue and wait must
// not change, and d holds NaN until the wait.

namespace emulator {

// An operand in shared memory; `block` as in native/backend/cuda/device/wgmma.h.
struct WarpgroupOperand {
  const unsigned char* start;
  unsigned block;
  bool along_width;
};

// One product in flight in a thread.
struct WarpgroupProduct {
  float* d;
  std::shared_ptr<std::vector<float>> sums;  // of d, shared by the products that add to it
  std::function<uint64_t()> read;            // a digest of what is read
  uint64_t digest;                           // at the issue
  int group;
  Site site;
};

// What block.cpp keeps for each thread.
struct WarpgroupThread {
  std::vector<WarpgroupProduct> products;
  int group = 0;
  bool fenced = false;
};
WarpgroupThread& warpgroup_thread();

// d (64, columns), columns / 2 sums of this thread, + a (64, 16) b (16, columns).
void wgmma(float* d, int columns, const WarpgroupOperand& a, const WarpgroupOperand& b, Site site);
void wgmma_fence(Site site);
void wgmma_commit();
void wgmma_wait(int groups_in_flight, Site site);

}  // namespace emulator
