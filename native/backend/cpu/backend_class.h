#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/isa.h"
#include "core/arena.h"
#include "core/thread_pool.h"

namespace countenance::COUNTENANCE_CPU {

struct WinogradConv;

// The CPU backend of one instruction set. Each operation has its own file next to this one;
// the same files are compiled once per instruction set (isa.h).
class CpuBackend final : public Backend {
 public:
  CpuBackend(int threads, ConvolutionMethod convolution);

  std::string description() const override;
  const DeviceKind& kind() const override { return cpu_device(); }

  std::unique_ptr<DeviceBlock> allocate(size_t bytes) override;
  void copy_in(Tensor device, const void* host) override;
  void copy_out(void* host, Tensor device) override;
  void copy(Tensor y, Tensor x) override;
  void fill(Tensor x, float value) override;
  bool asynchronous() const override { return false; }
  void synchronize() override {}
  std::unique_ptr<Readback> make_readback(size_t bytes) override;
  std::unique_ptr<Recording> record(FunctionRef<void()>) override { return nullptr; }
  void replay(const Recording&, uint64_t) override;

  int64_t packed_elements(const Shape& shape) const override;
  void pack_parameter(Tensor packed, const float* torch) override;
  void unpack_parameter(float* torch, Tensor packed) override;

  size_t conv2d_workspace(const Shape& x, const Shape& weight,
                          const Conv2dAttributes& attributes) const override;
  // None: the pass over x that they would save is cheap compared to the product.
  size_t conv2d_statistics(const Shape&, const Shape&, const Conv2dAttributes&,
                           DType) const override {
    return 0;
  }
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
  void batch_norm_from_statistics(const BatchNormForward&, Tensor,
                                  const BatchNormAttributes&) override {
    ensure(false, "no convolution leaves statistics on the CPU");
  }
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
  static bool is_skipped(Tensor gradient_scale) {
    return gradient_scale && std::isnan(*gradient_scale.f32());
  }
  // Scratch of one worker, allocated once: packed tiles that live in its cache.
  float* scratch(int worker) const {
    return static_cast<float*>(scratch_.data()) + worker * kScratchFloats;
  }
  static constexpr int64_t kScratchFloats = 512 * 1024;  // 2 MiB per worker

  // The convolution by Winograd's method, where that is wanted and pays.
  std::optional<WinogradConv> winograd(const Shape& x, const Shape& weight,
                                       const Conv2dAttributes& attributes) const;

  ConvolutionMethod convolution_;
  ThreadPool pool_;
  HostBlock scratch_;
};

}  // namespace countenance::COUNTENANCE_CPU
