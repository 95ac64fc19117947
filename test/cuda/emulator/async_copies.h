#pragma once

#include <vector>

#include "block.h"

namespace emulator {

// The cp.async copies that a thread has in flight.
class AsyncCopies {
 public:
  void clear() { *this = {}; }
  bool empty() const { return copies_.empty(); }
  void issue(void* to, const void* from, unsigned bytes) {
    copies_.push_back({to, from, bytes, group_});
  }
  void commit() { ++group_; }

  // Calls copy for all groups but the last `groups_in_flight`; returns whether there were any.
  bool finish(int groups_in_flight, CopyFunction copy) const {
    bool any = false;
    for (const Copy& c : copies_) {
      if (c.group >= group_ - groups_in_flight) continue;
      copy(c.to, c.from, c.bytes);
      any = true;
    }
    return any;
  }
  void drop_finished(int groups_in_flight) {
    std::erase_if(copies_, [&](const Copy& c) { return c.group < group_ - groups_in_flight; });
  }

 private:
  struct Copy {
    void* to;
    const void* from;
    unsigned bytes;
    int group;
  };
  std::vector<Copy> copies_;
  int group_ = 0;
};

}  // namespace emulator
