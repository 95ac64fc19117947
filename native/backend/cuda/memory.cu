#include "backend/cuda/backend_class.h"
#include "backend/cuda/elementwise.h"

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

}  // namespace

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
  const int64_t numbers = static_cast<int64_t>(block->bytes() / sizeof(float));
  if (!block->bf16.data()) {
    ensure(!recording_, "the bfloat16 copy of weights is made before a recording");
    block->bf16 = make_device_memory(block->bytes() / 2);
    block->bf16_fresh = false;
  }
  __nv_bfloat16* copy = static_cast<__nv_bfloat16*>(block->bf16.data());
  const float* from = static_cast<const float*>(block->data());
  if (!block->bf16_fresh) {
    run_elementwise("bf16_copy", queue(), numbers, Convert<__nv_bfloat16, float>{copy, from});
    block->bf16_fresh = true;
  }
  return copy + (data<float>(weight) - from);
}

__nv_bfloat16* CudaBackend::bf16_copy_to_update(Tensor weights) {
  CudaBlock* block = blocks_->find(weights.data);
  if (!block || !block->bf16_fresh) return nullptr;
  return static_cast<__nv_bfloat16*>(block->bf16.data()) +
         (data<float>(weights) - static_cast<const float*>(block->data()));
}

void CudaBackend::written(Tensor tensor) {
  if (CudaBlock* block = blocks_->find(tensor.data)) block->bf16_fresh = false;
}

}  // namespace countenance::cuda
