#include "backend/cuda/backend_class.h"
#include "backend/cuda/device/recording.h"
#include "backend/cuda/frames/elementwise.h"

namespace countenance::cuda {

namespace {

template <class To, class From>
struct Convert {
  To* y;
  const From* x;

  template <int N>
  __device__ void run(int64_t i) const {
    store(y + i, load<N>(x + i));
  }
};

template <class T>
struct Fill {
  T* x;
  float value;

  template <int N>
  __device__ void run(int64_t i) const {
    store(x + i, all<N>(value));
  }
};

// In pinned memory, guarded by an event.
class CudaReadback final : public Readback {
 public:
  CudaReadback(int device, cudaStream_t compute, size_t bytes)
      : device_(device),
        compute_(compute),
        pinned_(make_pinned_memory(bytes)),
        copied_(make_event()) {}

  void start(Tensor x) override {
    ensure(x.bytes() <= pinned_.bytes(), "a readback of ", x.bytes(), " bytes");
    COUNTENANCE_CUDA(cudaSetDevice(device_));
    COUNTENANCE_CUDA(
        cudaMemcpyAsync(pinned_.data(), x.data, x.bytes(), cudaMemcpyDeviceToHost, compute_));
    COUNTENANCE_CUDA(cudaEventRecord(copied_, compute_));
  }
  const void* wait() override {
    COUNTENANCE_CUDA(cudaSetDevice(device_));
    COUNTENANCE_CUDA(cudaEventSynchronize(copied_));
    return pinned_.data();
  }

 private:
  int device_;
  cudaStream_t compute_;
  PinnedMemory pinned_;
  Event copied_;
};

}  // namespace

std::unique_ptr<Readback> CudaBackend::make_readback(size_t bytes) {
  ensure(!recording_, "a readback cannot be recorded");
  return std::make_unique<CudaReadback>(device_, queue(), bytes);
}

std::unique_ptr<DeviceBlock> CudaBackend::allocate(size_t bytes) {
  const Queue to = queue();
  ensure(!recording_, "an allocation cannot be recorded");
  auto block = std::make_unique<CudaBlock>(blocks_, bytes);
  if (bytes) COUNTENANCE_CUDA(cudaMemsetAsync(block->data(), 0, bytes, to));
  return block;
}

void CudaBackend::copy_in(Tensor device, const void* host) {
  queue();
  ensure(!recording_, "a copy from the host cannot be recorded");
  staging_->copy_in(device.data, host, device.bytes());
  written(device);
}

void CudaBackend::copy_out(void* host, Tensor device) {
  queue();
  ensure(!recording_, "a copy to the host cannot be recorded");
  staging_->copy_out(host, device.data, device.bytes());
}

void CudaBackend::synchronize() { COUNTENANCE_CUDA(cudaStreamSynchronize(queue())); }

void CudaBackend::copy(Tensor y, Tensor x) {
  const Queue to = queue();
  ensure(y.elements() == x.elements(), "copy between tensors of different size");
  if (y.dtype == x.dtype) {
    COUNTENANCE_CUDA(cudaMemcpyAsync(y.data, x.data, x.bytes(), cudaMemcpyDeviceToDevice, to));
  } else if (y.dtype == DType::BF16) {
    run_elementwise("copy", to, x.elements(),
                    Convert<__nv_bfloat16, float>{data<__nv_bfloat16>(y), data<float>(x)});
  } else {
    run_elementwise("copy", to, x.elements(),
                    Convert<float, __nv_bfloat16>{data<float>(y), data<__nv_bfloat16>(x)});
  }
  written(y);
}

void CudaBackend::fill(Tensor x, float value) {
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_elementwise("fill", queue(), x.elements(), Fill<T>{data<T>(x), value});
  });
  written(x);
}

const __nv_bfloat16* CudaBackend::bf16_copy(Tensor weight) {
  CudaBlock* block = blocks_->find(weight.data);
  ensure(block != nullptr, "a weight lies outside of this backend's memory");
  if (recording_) {
    ensure(block->bf16.data() != nullptr,
           "the bfloat16 copy of weights is made before a recording");
    recording_->read.insert(block->data());
  } else {
    refresh_bf16(*block);
  }
  const float* from = static_cast<const float*>(block->data());
  return static_cast<const __nv_bfloat16*>(block->bf16.data()) + (data<float>(weight) - from);
}

void CudaBackend::refresh_bf16(CudaBlock& block) {
  if (block.bf16_fresh) return;
  if (!block.bf16.data()) block.bf16 = make_device_memory(block.bytes() / 2);
  run_elementwise("bf16_copy", queue(), static_cast<int64_t>(block.bytes() / sizeof(float)),
                  Convert<__nv_bfloat16, float>{static_cast<__nv_bfloat16*>(block.bf16.data()),
                                                static_cast<const float*>(block.data())});
  block.bf16_fresh = true;
}

__nv_bfloat16* CudaBackend::bf16_copy_to_update(Tensor weights) {
  CudaBlock* block = blocks_->find(weights.data);
  if (!block) return nullptr;
  // Replays may find it up to date, which a recording cannot foresee.
  const bool updates = recording_ ? block->bf16.data() != nullptr : block->bf16_fresh;
  if (!updates) {
    if (recording_) recording_->written.insert(block->data());
    return nullptr;
  }
  return static_cast<__nv_bfloat16*>(block->bf16.data()) +
         (data<float>(weights) - static_cast<const float*>(block->data()));
}

void CudaBackend::written(Tensor tensor) {
  CudaBlock* block = blocks_->find(tensor.data);
  if (!block) return;
  if (recording_) {
    recording_->written.insert(block->data());
  } else {
    block->bf16_fresh = false;
  }
}

}  // namespace countenance::cuda
