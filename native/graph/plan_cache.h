#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <sstream>
#include <utility>

#include "core/error.h"

namespace countenance {

// Plans for the most recently used batch sizes; the least recently used one is evicted. An Entry
// holds a Plan and the values of its graph.
template <class Entry>
class PlanCache {
 public:
  explicit PlanCache(size_t capacity) : capacity_(capacity) {}

  // The entry of a batch size, made by make(batch) -> std::unique_ptr<Entry> if missing.
  // bytes_of(batch): the size of its plan. Throws ERR_OUT_OF_MEMORY for a plan that does not fit in
  // the remaining memory, with a batch size that would fit.
  template <class Make, class BytesOf>
  Entry& get(int64_t batch, Make&& make, BytesOf&& bytes_of) {
    for (auto item = items_.begin(); item != items_.end(); ++item) {
      if (item->first != batch) continue;
      items_.splice(items_.begin(), items_, item);
      return *item->second;
    }
    while (items_.size() >= capacity_) items_.pop_back();
    items_.emplace_front(batch, made(batch, make, bytes_of));
    return *items_.front().second;
  }

 private:
  template <class Make, class BytesOf>
  std::unique_ptr<Entry> made(int64_t batch, Make&& make, BytesOf&& bytes_of) {
    try {
      return make(batch);
    } catch (const OutOfMemory&) {
    }
    items_.clear();  // the other plans' memory may be what is needed
    try {
      return make(batch);
    } catch (const OutOfMemory& error) {
      std::ostringstream message;
      message << "a batch of " << batch << " does not fit into memory (" << error.what() << "); ";
      const int64_t fits = fitting_batch(batch, error.free(), bytes_of);
      if (fits > 0) {
        message << "a batch of " << fits << " would fit";
      } else {
        message << "not even a single image would fit";
      }
      throw OutOfMemory(error.wanted(), error.free(), message.str());
    }
  }

  // The bytes of a plan grow almost linearly with the batch, so a few steps find the largest batch
  // whose plan fits in the free memory.
  template <class BytesOf>
  static int64_t fitting_batch(int64_t batch, size_t free, BytesOf&& bytes_of) {
    int64_t fits = batch - 1;
    while (fits > 0) {
      const size_t wanted = bytes_of(fits);
      if (wanted <= free) return fits;
      const double share = static_cast<double>(free) / static_cast<double>(wanted);
      fits = std::min(fits - 1, static_cast<int64_t>(static_cast<double>(fits) * share));
    }
    return 0;
  }

  size_t capacity_;
  std::list<std::pair<int64_t, std::unique_ptr<Entry>>> items_;
};

}  // namespace countenance
