#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/device/blocks.h"
#include "backend/cuda/device/kernel_types.h"
#include "backend/cuda/device/queue.h"
#include "backend/cuda/device/staging.h"

namespace countenance::cuda {

class CudaRecording;
struct GemmMachine;

// One GPU. Operations are started in order on one stream and return immediately; only copy_out and
// synchronize wait. Each operation has its own file next to this one, named as in backend/cpu. Only
// one host thread may use it at a time.
class CudaBackend final : public Backend {
 public:
  // device: 0, 1, ... as CUDA counts. ERR_DEVICE_UNAVAILABLE if there is no such device.
  explicit CudaBackend(int device);
  ~CudaBackend() override;

  std::string description() const override;
  const DeviceKind& kind() const override { return cuda_device(); }

  std::unique_ptr<DeviceBlock> allocate(size_t bytes) override;
  void copy_in(Tensor device, const void* host) override;
  void copy_out(void* host, Tensor device) override;
  // Converts between float32 and bfloat16.
  void copy(Tensor y, Tensor x) override;
  void fill(Tensor x, float value) override;
  bool asynchronous() const override { return true; }
  void synchronize() override;
  std::unique_ptr<Readback> make_readback(size_t bytes) override;

  // As a CUDA graph.
  std::unique_ptr<Recording> record(FunctionRef<void()> operations) override;
  void replay(const Recording& recording, uint64_t stream_shift) override;

  // Rows of weights with their taps outermost (packed_weight.h).
  int64_t packed_elements(const Shape& shape) const override;
  void pack_parameter(Tensor packed, const float* torch) override;
  void unpack_parameter(float* torch, Tensor packed) override;

  size_t conv2d_workspace(const Shape& x, const Shape& weight,
                          const Conv2dAttributes& attributes) const override;
  size_t conv2d_statistics(const Shape& x, const Shape& weight, const Conv2dAttributes& attributes,
                           DType activations) const override;
  void conv2d_forward(Tensor y, Tensor x, Tensor weight, const Epilogue& epilogue,
                      const Conv2dAttributes& attributes, Tensor workspace) override;
  void conv2d_backward_data(Gradient dx, Tensor dy, Tensor weight,
                            const Conv2dAttributes& attributes, Tensor workspace) override;
  void conv2d_backward_weight(Gradient dweight, Gradient dbias, Tensor dy, Tensor x,
                              const Conv2dAttributes& attributes, Tensor workspace) override;

  size_t linear_workspace(const Shape& x, const Shape& weight) const override;
  void linear_forward(Tensor y, Tensor x, Tensor weight, const Epilogue& epilogue,
                      Tensor workspace) override;
  void linear_backward_data(Gradient dx, Tensor dy, Tensor weight, Tensor workspace) override;
  void linear_backward_weight(Gradient dweight, Gradient dbias, Tensor dy, Tensor x,
                              Tensor workspace) override;

  size_t batch_norm_workspace(const Shape& x) const override;
  void batch_norm_forward(const BatchNormForward& t,
                          const BatchNormAttributes& attributes) override;
  void batch_norm_from_statistics(const BatchNormForward& t, Tensor statistics,
                                  const BatchNormAttributes& attributes) override;
  void batch_norm_backward(const BatchNormBackward& t,
                           const BatchNormAttributes& attributes) override;
  void batch_norm_fold(const BatchNormFold& t, const BatchNormAttributes& attributes) override;
  void scale_shift_forward(Tensor y, Tensor x, const Epilogue& epilogue) override;

  size_t layer_norm_workspace(const Shape& x) const override;
  void layer_norm_forward(const LayerNormForward& t, float eps) override;
  void layer_norm_backward(const LayerNormBackward& t) override;

  void relu_forward(Tensor y, Tensor x) override;
  void relu_backward(Gradient dx, Tensor dy, Tensor y) override;
  void gelu_forward(Tensor y, Tensor x) override;
  void gelu_backward(Gradient dx, Tensor dy, Tensor x) override;
  void add_forward(Tensor y, Tensor a, Tensor b, Tensor row_scale) override;
  void add_backward(Gradient da, Gradient db, Tensor dy, Tensor row_scale) override;
  void drop_path_scale(Tensor row_scale, float probability, RandomKey key) override;

  void max_pool_forward(Tensor y, Tensor argmax, Tensor x,
                        const MaxPoolAttributes& attributes) override;
  void max_pool_backward(Gradient dx, Tensor dy, Tensor argmax,
                         const MaxPoolAttributes& attributes) override;
  void global_average_pool_forward(Tensor y, Tensor x) override;
  void global_average_pool_backward(Gradient dx, Tensor dy) override;

  size_t window_attention_workspace(const Shape& qkv,
                                    const WindowAttentionAttributes& attributes) const override;
  void window_attention_forward(Tensor y, Tensor log_sum_exp, Tensor qkv, Tensor bias_table,
                                const WindowAttentionAttributes& attributes,
                                Tensor workspace) override;
  void window_attention_backward(const WindowAttentionBackward& t,
                                 const WindowAttentionAttributes& attributes) override;
  void patch_merge_forward(Tensor y, Tensor x) override;
  void patch_merge_backward(Gradient dx, Tensor dy) override;

  void cosine_logits(Tensor logits, Tensor features, Tensor text, float scale) override;
  size_t objective_workspace(const Shape& expression, const Shape& text) const override;
  void objective(const ObjectiveOperands& t, const ObjectiveAttributes& attributes) override;

  size_t clip_workspace(int64_t n) const override;
  void clip_gradient(Tensor gradient_scale, Tensor norm, Tensor gradients, Tensor loss,
                     float max_norm, Tensor workspace) override;
  void sgd_step(const OptimizerStep& t, Tensor velocity, const SgdAttributes& attributes) override;
  void adamw_step(const OptimizerStep& t, Tensor first_moment, Tensor second_moment,
                  const AdamWAttributes& attributes) override;
  void lion_step(const OptimizerStep& t, Tensor momentum,
                 const LionAttributes& attributes) override;
  void ema_update(Tensor average, Tensor weights, Tensor gradient_scale, float decay) override;
  void restore_skipped(Tensor x, Tensor saved, Tensor gradient_scale) override;

  void prepare_images(Tensor out, Tensor images, std::span<const ImageTransform> transforms,
                      const Normalization& normalization) override;
  void resize_and_prepare_images(Tensor out, std::span<const uint8_t> pixels,
                                 std::span<const ImageSize> sizes,
                                 std::span<const ImageTransform> transforms,
                                 const Normalization& normalization) override;

 private:
  // The compute stream; makes this backend's device the thread's.
  Queue queue() const;
  GemmMachine gemm_machine() const;  // products/gemm_machine.cpp
  StreamShift stream_shift() const;

  // The bfloat16 copy of a weight, laid out like the weight, for the tensor cores. Rebuilt from the
  // whole arena if something other than an optimizer wrote to it last; in a recording, by its
  // replays.
  const __nv_bfloat16* bf16_copy(Tensor weight);
  void refresh_bf16(CudaBlock& block);
  // A weight as an operand of a product with activations of type T, float or __nv_bfloat16.
  template <class T>
  const T* weights_as(Tensor weight) {
    if constexpr (std::is_same_v<T, float>) {
      return cuda::data<float>(weight);
    } else {
      const __nv_bfloat16* copy = bf16_copy(weight);
      ensure(reinterpret_cast<uintptr_t>(copy) % 16 == 0, "a weight begins inside of 8 numbers");
      return copy;
    }
  }
  // The copy that an optimizer must keep up to date, or null if there is none; an out-of-date copy
  // stays out of date.
  __nv_bfloat16* bf16_copy_to_update(Tensor weights);
  // Must be called after anything else writes to float32 memory.
  void written(Tensor tensor);
  // `bytes` bytes of images_, which grows if it is smaller.
  std::byte* room_for_images(size_t bytes);

  int device_;
  std::string name_;
  int multiprocessors_ = 1;
  bool warpgroups_ = false;
  Stream compute_;
  std::shared_ptr<Blocks> blocks_ = std::make_shared<Blocks>();
  std::unique_ptr<Staging> staging_;
  DeviceMemory images_;                 // of resize_and_prepare_images, before they are resized
  DeviceMemory shifts_;                 // two uint64: always 0; the replayed recording's
  CudaRecording* recording_ = nullptr;  // the one in progress
};

}  // namespace countenance::cuda
