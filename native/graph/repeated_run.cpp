#include "graph/repeated_run.h"

namespace countenance {

void RepeatedRun::run(Backend& backend, const void* weights, uint64_t stream,
                      FunctionRef<void()> operations) {
  if (weights != weights_) {
    recording_.reset();
    ran_ = false;
    weights_ = weights;
  }
  if (!recording_ && ran_) {
    recording_ = backend.record(operations);
    recorded_stream_ = stream;
  }
  if (recording_) {
    backend.replay(*recording_, stream - recorded_stream_);
    return;
  }
  operations();
  ran_ = true;
}

}  // namespace countenance
