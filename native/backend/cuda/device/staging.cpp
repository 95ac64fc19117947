#include "backend/cuda/device/staging.h"

#include <algorithm>
#include <cstring>

namespace countenance::cuda {

Staging::Staging(cudaStream_t compute) : compute_(compute), copy_(make_stream()) {
  for (Slot& slot : slots_) {
    slot.copied = make_event();
    slot.free = make_event();
  }
}

void Staging::copy_in(void* device, const void* host, size_t bytes) {
  for (size_t done = 0; done < bytes; done += kPieceBytes) {
    copy_in_piece(static_cast<char*>(device) + done, static_cast<const char*>(host) + done,
                  std::min(kPieceBytes, bytes - done));
  }
}

void Staging::copy_in_piece(char* device, const char* host, size_t bytes) {
  Slot& slot = slots_[next_];
  next_ = (next_ + 1) % kSlots;
  COUNTENANCE_CUDA(cudaEventSynchronize(slot.free));
  if (slot.pinned.bytes() < bytes) {
    slot.pinned = {};
    slot.pinned = make_pinned_memory(bytes);
  }
  std::memcpy(slot.pinned.data(), host, bytes);
  if (bytes <= kDirectBytes) {
    COUNTENANCE_CUDA(
        cudaMemcpyAsync(device, slot.pinned.data(), bytes, cudaMemcpyHostToDevice, compute_));
  } else {
    if (slot.device.bytes() < bytes) {
      slot.device = {};
      slot.device = make_device_memory(bytes);
    }
    COUNTENANCE_CUDA(cudaMemcpyAsync(slot.device.data(), slot.pinned.data(), bytes,
                                     cudaMemcpyHostToDevice, copy_));
    COUNTENANCE_CUDA(cudaEventRecord(slot.copied, copy_));
    COUNTENANCE_CUDA(cudaStreamWaitEvent(compute_, slot.copied, 0));
    COUNTENANCE_CUDA(
        cudaMemcpyAsync(device, slot.device.data(), bytes, cudaMemcpyDeviceToDevice, compute_));
  }
  COUNTENANCE_CUDA(cudaEventRecord(slot.free, compute_));
}

void Staging::copy_out(void* host, const void* device, size_t bytes) {
  if (out_.bytes() < std::min(bytes, kPieceBytes)) {
    out_ = {};
    out_ = make_pinned_memory(std::min(bytes, kPieceBytes));
  }
  for (size_t done = 0; done < bytes; done += kPieceBytes) {
    const size_t piece = std::min(kPieceBytes, bytes - done);
    COUNTENANCE_CUDA(cudaMemcpyAsync(out_.data(), static_cast<const char*>(device) + done, piece,
                                     cudaMemcpyDeviceToHost, compute_));
    COUNTENANCE_CUDA(cudaStreamSynchronize(compute_));
    std::memcpy(static_cast<char*>(host) + done, out_.data(), piece);
  }
}

}  // namespace countenance::cuda
