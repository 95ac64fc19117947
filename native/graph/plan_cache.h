#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace countenance {

// The plans of the batch sizes used last; the one unused for longest makes room. An Entry holds a
// Plan and the values of its graph.
template <class Entry>
class PlanCache {
 public:
  explicit PlanCache(size_t capacity) : capacity_(capacity) {}

  // The entry of a batch size, made by make(batch) -> std::unique_ptr<Entry> when there is none.
  // Plans too large for the memory left are ERR_BATCH_TOO_LARGE.
  template <class Make>
  Entry& get(int64_t batch, Make&& make) {
    for (auto item = items_.begin(); item != items_.end(); ++item) {
      if (item->first != batch) continue;
      items_.splice(items_.begin(), items_, item);
      return *item->second;
    }
    while (items_.size() >= capacity_) items_.pop_back();
    items_.emplace_front(batch, made(batch, make));
    return *items_.front().second;
  }

  void clear() { items_.clear(); }

 private:
  template <class Make>
  std::unique_ptr<Entry> made(int64_t batch, Make&& make) {
    try {
      return make(batch);
    } catch (const Error& error) {
      if (std::string_view(error.code()) != code::kOutOfMemory) throw;
    }
    items_.clear();  // the other plans' memory may be what is missing
    try {
      return make(batch);
    } catch (const Error& error) {
      if (std::string_view(error.code()) != code::kOutOfMemory) throw;
      fail(code::kBatchTooLarge, "a batch of ", batch, " does not fit into memory (", error.what(),
           "); use a smaller one");
    }
  }

  size_t capacity_;
  std::list<std::pair<int64_t, std::unique_ptr<Entry>>> items_;
};

}  // namespace countenance
