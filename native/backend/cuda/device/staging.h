#pragma once

#include "backend/cuda/device/handles.h"

namespace countenance::cuda {

// Copies from the host without making it wait for the device. The bytes go to pinned memory, from
// there on the copy stream to a buffer on the device while kernels run, and finally, in the order
// of the compute stream, to their destination. A few such slots are in flight at once.
class Staging {
 public:
  explicit Staging(cudaStream_t compute);

  // `host` may be reused immediately.
  void copy_in(void* device, const void* host, size_t bytes);
  // Waits for the compute stream.
  void copy_out(void* host, const void* device, size_t bytes);

 private:
  struct Slot {
    PinnedMemory pinned;
    DeviceMemory device;
    Event copied;  // pinned -> device is done
    Event free;    // device -> its destination is done
  };
  void copy_in_piece(char* device, const char* host, size_t bytes);

  static constexpr int kSlots = 4;
  static constexpr size_t kPieceBytes = size_t{16} << 20;
  // Up to this size, a copy on the compute stream costs less than the detour.
  static constexpr size_t kDirectBytes = size_t{64} << 10;

  cudaStream_t compute_;
  Stream copy_;
  Slot slots_[kSlots];
  int next_ = 0;
  PinnedMemory out_;
};

}  // namespace countenance::cuda
