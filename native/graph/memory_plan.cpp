#include "graph/memory_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/arena.h"

namespace countenance {

MemoryPlan plan_memory(const std::vector<Lifetime>& buffers) {
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return buffers[a].bytes > buffers[b].bytes; });

  MemoryPlan plan;
  plan.offsets.resize(buffers.size());
  std::vector<size_t> placed;  // sorted by offset
  for (size_t i : order) {
    const Lifetime& buffer = buffers[i];
    const size_t wanted = align_up(buffer.bytes);
    size_t best = 0;
    size_t best_gap = std::numeric_limits<size_t>::max();
    size_t free_from = 0;  // end of the contemporaries met so far
    for (size_t j : placed) {
      if (buffers[j].first > buffer.last || buffers[j].last < buffer.first) continue;
      if (plan.offsets[j] > free_from) {
        const size_t gap = plan.offsets[j] - free_from;
        if (gap >= wanted && gap < best_gap) {
          best = free_from;
          best_gap = gap;
        }
      }
      free_from = std::max(free_from, plan.offsets[j] + align_up(buffers[j].bytes));
    }
    if (best_gap == std::numeric_limits<size_t>::max()) best = free_from;
    plan.offsets[i] = best;
    plan.bytes = std::max(plan.bytes, best + wanted);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), i,
                         [&](size_t a, size_t b) { return plan.offsets[a] < plan.offsets[b]; }),
        i);
  }
  return plan;
}

MemoryPlan plan_apart(const std::vector<Lifetime>& buffers, size_t gap) {
  MemoryPlan plan;
  for (const Lifetime& buffer : buffers) {
    plan.offsets.push_back(plan.bytes);
    plan.bytes += align_up(buffer.bytes + gap);
  }
  return plan;
}

}  // namespace countenance
