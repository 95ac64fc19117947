#pragma once

#include <cstddef>
#include <vector>

namespace countenance {

// A buffer that must keep its contents from `first` to `last`, inclusive, on the timeline of a run:
// op i's forward is time i, its backward time 2n - 1 - i.
struct Lifetime {
  size_t bytes = 0;
  int first = 0;
  int last = 0;
};

struct MemoryPlan {
  std::vector<size_t> offsets;  // one per buffer, aligned
  size_t bytes = 0;             // of the whole arena
};

// Places every buffer so that no two that live at the same time overlap: the largest first, each
// into the smallest gap that fits (Pisarchyk & Lee, "Efficient memory management for deep neural
// net inference", 2020).
MemoryPlan plan_memory(const std::vector<Lifetime>& buffers);

// Guard mode: every buffer has its own memory, followed by `gap` bytes.
MemoryPlan plan_apart(const std::vector<Lifetime>& buffers, size_t gap);

}  // namespace countenance
