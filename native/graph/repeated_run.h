#pragma once

#include <memory>

#include "backend/backend.h"

namespace countenance {

// Operations that are the same each time, on the same memory: they run one by one at first, are
// recorded once, and are replayed from then on if the backend supports it.
class RepeatedRun {
 public:
  // weights: memory that may be elsewhere the next time (an average takes the weights' place); the
  // operations are then recorded again. stream: the stream of the operations' random numbers, which
  // a replay shifts to match.
  void run(Backend& backend, const void* weights, uint64_t stream, FunctionRef<void()> operations);

 private:
  std::unique_ptr<Recording> recording_;
  uint64_t recorded_stream_ = 0;
  const void* weights_ = nullptr;
  bool ran_ = false;  // once, one by one, with these weights
};

}  // namespace countenance
