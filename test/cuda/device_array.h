#pragma once

#include <vector>

#include "backend/cuda/device/handles.h"

namespace countenance::test {

// Numbers on the device, for tests that launch their own kernels.
template <class T>
class DeviceArray {
 public:
  DeviceArray(const std::vector<T>& values, cudaStream_t stream)
      : stream_(stream),
        size_(values.size()),
        memory_(cuda::make_device_memory(values.size() * sizeof(T))) {
    COUNTENANCE_CUDA(
        cudaMemcpyAsync(data(), values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice, stream_));
  }

  T* data() const { return static_cast<T*>(memory_.data()); }
  std::vector<T> get() const {
    std::vector<T> values(size_);
    COUNTENANCE_CUDA(
        cudaMemcpyAsync(values.data(), data(), size_ * sizeof(T), cudaMemcpyDeviceToHost, stream_));
    COUNTENANCE_CUDA(cudaStreamSynchronize(stream_));
    return values;
  }

 private:
  cudaStream_t stream_;
  size_t size_;
  cuda::DeviceMemory memory_;
};

}  // namespace countenance::test
