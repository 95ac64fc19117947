#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "backend/attributes.h"
#include "backend/devices.h"
#include "backend/operands.h"
#include "core/function_ref.h"
#include "core/tensor.h"

namespace countenance {

// Memory of a device. Freed with its owner.
class DeviceBlock {
 public:
  virtual ~DeviceBlock() = default;
  virtual void* data() const = 0;
  virtual size_t bytes() const = 0;
};

// Operations recorded by Backend::record, to be run again with one command.
class Recording {
 public:
  virtual ~Recording() = default;
};

// Host memory that results are copied to while the caller continues.
class Readback {
 public:
  virtual ~Readback() = default;
  // Starts copying x, which may have at most as many bytes as this was created for.
  virtual void start(Tensor x) = 0;
  // The bytes of the last start, once they have arrived; valid until the next start.
  virtual const void* wait() = 0;
};

// Every operation of the models, forward and backward, for one device. All pure virtual: a
// backend that lacks one does not compile.
//
// Conventions
//   Arguments: outputs, inputs, attributes, workspace; more than five tensors are passed in a
//   struct that names them (backend/operands.h). The gradient of x is dx; a Gradient specifies
//   whether its kernel overwrites, accumulates or ignores (core/tensor.h).
//   Activations are NHWC: (B, H, W, C); where only rows and channels matter, (rows, C).
//   `weight` of a convolution or linear layer is a matrix parameter: its Tensor carries PyTorch's
//   shape, its memory the backend's packed layout (pack_parameter). Everything else is dense.
//   Optional tensors are absent (Tensor{}).
//   A function named ..._workspace returns how many bytes of scratch its operation needs for these
//   shapes; the memory plan provides them, as a float32 tensor. Kernels never allocate.
//   Results depend on shapes and values only, never on the number of threads.
//   Shapes are checked by the ops (ops/), not here.
class Backend {
 public:
  virtual ~Backend() = default;

  // "cpu (avx512)", "cuda:0 (NVIDIA H100)": for display.
  virtual std::string description() const = 0;
  virtual const DeviceKind& kind() const = 0;

  // Memory.
  virtual std::unique_ptr<DeviceBlock> allocate(size_t bytes) = 0;  // zeroed
  virtual void copy_in(Tensor device, const void* host) = 0;
  virtual void copy_out(void* host, Tensor device) = 0;
  virtual void copy(Tensor y, Tensor x) = 0;
  virtual void fill(Tensor x, float value) = 0;
  // True if functions only enqueue their operations, in order, and return before they complete.
  virtual bool asynchronous() const = 0;
  // Waits until all operations issued so far are complete.
  virtual void synchronize() = 0;
  virtual std::unique_ptr<Readback> make_readback(size_t bytes) = 0;

  // Records the operations that `operations` issues on this backend; nothing runs. Anything
  // allocated on first use must already exist, so the same operations must have run once before;
  // copies to and from the host cannot be recorded. Null if the backend does not record:
  // `operations` was then not called.
  virtual std::unique_ptr<Recording> record(FunctionRef<void()> operations) = 0;
  // Runs a recording. stream_shift is added to the stream of every RandomKey in it.
  virtual void replay(const Recording& recording, uint64_t stream_shift) = 0;

  // Matrix parameters. shape: PyTorch's (out, in) or (out, in, kh, kw). Packed copies may hold
  // padding, which is zero and stays zero under every optimizer.
  virtual int64_t packed_elements(const Shape& shape) const = 0;
  virtual void pack_parameter(Tensor packed, const float* torch) = 0;
  virtual void unpack_parameter(float* torch, Tensor packed) = 0;

  // Convolution. x (B, H, W, Cin), weight (Cout, Cin, kh, kw), y (B, H', W', Cout).
  virtual size_t conv2d_workspace(const Shape& x, const Shape& weight,
                                  const Conv2dAttributes& attributes) const = 0;
  // Bytes of the statistics of y's channels that conv2d_forward can write
  // (Epilogue::statistics) for batch_norm_from_statistics; 0: none for these shapes.
  virtual size_t conv2d_statistics(const Shape& x, const Shape& weight,
                                   const Conv2dAttributes& attributes, DType activations) const = 0;
  virtual void conv2d_forward(Tensor y, Tensor x, Tensor weight, const Epilogue& epilogue,
                              const Conv2dAttributes& attributes, Tensor workspace) = 0;
  virtual void conv2d_backward_data(Gradient dx, Tensor dy, Tensor weight,
                                    const Conv2dAttributes& attributes, Tensor workspace) = 0;
  virtual void conv2d_backward_weight(Gradient dweight, Gradient dbias, Tensor dy, Tensor x,
                                      const Conv2dAttributes& attributes, Tensor workspace) = 0;

  // Linear layer. x (rows, in), weight (out, in), y (rows, out).
  virtual size_t linear_workspace(const Shape& x, const Shape& weight) const = 0;
  virtual void linear_forward(Tensor y, Tensor x, Tensor weight, const Epilogue& epilogue,
                              Tensor workspace) = 0;
  virtual void linear_backward_data(Gradient dx, Tensor dy, Tensor weight, Tensor workspace) = 0;
  virtual void linear_backward_weight(Gradient dweight, Gradient dbias, Tensor dy, Tensor x,
                                      Tensor workspace) = 0;

  // Batch norm over the rows of x (rows, C), 1d and 2d alike:
  //   y = activation((x - mean) rstd weight + bias + residual)
  // Batch variance is biased in y and unbiased in running_var, as in PyTorch.
  virtual size_t batch_norm_workspace(const Shape& x) const = 0;
  virtual void batch_norm_forward(const BatchNormForward& t,
                                  const BatchNormAttributes& attributes) = 0;
  // The same, with the statistics of x left by the convolution that produced it: x is read one time
  // fewer.
  virtual void batch_norm_from_statistics(const BatchNormForward& t, Tensor statistics,
                                          const BatchNormAttributes& attributes) = 0;
  virtual void batch_norm_backward(const BatchNormBackward& t,
                                   const BatchNormAttributes& attributes) = 0;
  // Evaluation mode: scale = weight / sqrt(running_var + eps), shift = bias - running_mean scale.
  virtual void batch_norm_fold(const BatchNormFold& t, const BatchNormAttributes& attributes) = 0;
  // y = activation(x scale + shift + residual), the folded batch norm where no product precedes it.
  virtual void scale_shift_forward(Tensor y, Tensor x, const Epilogue& epilogue) = 0;

  // Layer norm over the channels of x (rows, C).
  virtual size_t layer_norm_workspace(const Shape& x) const = 0;
  virtual void layer_norm_forward(const LayerNormForward& t, float eps) = 0;
  virtual void layer_norm_backward(const LayerNormBackward& t) = 0;

  // Elementwise.
  virtual void relu_forward(Tensor y, Tensor x) = 0;
  virtual void relu_backward(Gradient dx, Tensor dy, Tensor y) = 0;
  virtual void gelu_forward(Tensor y, Tensor x) = 0;  // x Phi(x), with erf
  virtual void gelu_backward(Gradient dx, Tensor dy, Tensor x) = 0;
  // y = a + row_scale[b] b, row_scale (B) for the first dimension, absent: 1.
  virtual void add_forward(Tensor y, Tensor a, Tensor b, Tensor row_scale) = 0;
  virtual void add_backward(Gradient da, Gradient db, Tensor dy, Tensor row_scale) = 0;
  // Stochastic depth: row_scale[b] is 0 with this probability, else 1 / (1 - probability).
  virtual void drop_path_scale(Tensor row_scale, float probability, RandomKey key) = 0;

  // Pooling. argmax (uint8, shape of y): kernel position ky * kernel + kx; absent in evaluation.
  virtual void max_pool_forward(Tensor y, Tensor argmax, Tensor x,
                                const MaxPoolAttributes& attributes) = 0;
  virtual void max_pool_backward(Gradient dx, Tensor dy, Tensor argmax,
                                 const MaxPoolAttributes& attributes) = 0;
  virtual void global_average_pool_forward(Tensor y, Tensor x) = 0;  // (B, H, W, C) -> (B, C)
  virtual void global_average_pool_backward(Gradient dx, Tensor dy) = 0;

  // Swin. Tokens (B, H, W, C) stay in image order: cyclic shift, window partition and their
  // reverses are index arithmetic inside window_attention.
  //   qkv (B, H, W, 3C): q, k, v, each heads x (C / heads). bias_table ((2 window - 1)^2, heads).
  //   log_sum_exp (B, heads, H, W) of each query's row; absent in evaluation mode.
  //   The probabilities are recomputed in the backward pass, never stored.
  virtual size_t window_attention_workspace(const Shape& qkv,
                                            const WindowAttentionAttributes& attributes) const = 0;
  virtual void window_attention_forward(Tensor y, Tensor log_sum_exp, Tensor qkv, Tensor bias_table,
                                        const WindowAttentionAttributes& attributes,
                                        Tensor workspace) = 0;
  virtual void window_attention_backward(const WindowAttentionBackward& t,
                                         const WindowAttentionAttributes& attributes) = 0;
  // (B, H, W, C) -> (B, H/2, W/2, 4C): Swin's order of the four neighbours,
  // [x(0,0), x(1,0), x(0,1), x(1,1)] with x(row, column).
  virtual void patch_merge_forward(Tensor y, Tensor x) = 0;
  virtual void patch_merge_backward(Gradient dx, Tensor dy) = 0;

  // Heads and losses: value and gradient in one pass.
  // logits = scale hat(features) hat(text)^T. features (B, D), text (K, D) raw, logits (B, K).
  virtual void cosine_logits(Tensor logits, Tensor features, Tensor text, float scale) = 0;
  // The objective of docs/METHOD.md. The class y of a sample is argmax(targets); kCorrect counts
  // argmax(logits) == y.
  virtual size_t objective_workspace(const Shape& expression, const Shape& text) const = 0;
  virtual void objective(const ObjectiveOperands& t, const ObjectiveAttributes& attributes) = 0;

  // Optimizers, over flat arenas of n elements (OptimizerStep).
  //   scale = min(1, max_norm / (norm + 1e-6)), norm (1) = |gradients|_2; max_norm 0: scale = 1.
  // NaN if norm or loss (1, may be absent) is not finite; an existing NaN stays, so that the steps
  // after a skipped one are skipped as well.
  virtual size_t clip_workspace(int64_t n) const = 0;
  virtual void clip_gradient(Tensor gradient_scale, Tensor norm, Tensor gradients, Tensor loss,
                             float max_norm, Tensor workspace) = 0;
  // g += weight_decay w; v = momentum v + g; w -= lr v (nesterov: w -= lr (g + momentum v)).
  // rates (G, kSgdRates) as in SgdRate.
  virtual void sgd_step(const OptimizerStep& t, Tensor velocity,
                        const SgdAttributes& attributes) = 0;
  // Loshchilov & Hutter, as torch.optim.AdamW.
  // rates (G, kAdamWRates) as in AdamWRate.
  virtual void adamw_step(const OptimizerStep& t, Tensor first_moment, Tensor second_moment,
                          const AdamWAttributes& attributes) = 0;
  // Chen et al. 2023: w = keep w - lr sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g.
  // rates (G, kLionRates) as in LionRate.
  virtual void lion_step(const OptimizerStep& t, Tensor momentum,
                         const LionAttributes& attributes) = 0;
  virtual void ema_update(Tensor average, Tensor weights, Tensor gradient_scale, float decay) = 0;
  // x = saved if the step is skipped: rolls back what changed before that was known.
  virtual void restore_skipped(Tensor x, Tensor saved, Tensor gradient_scale) = 0;

  // Images. out (B, S, S, 3) activations; images (B, S, S, 3) uint8; transforms: B of them (host).
  virtual void prepare_images(Tensor out, Tensor images, std::span<const ImageTransform> transforms,
                              const Normalization& normalization) = 0;
  // The same for images of any size, resized to (S, S) first; the bits are those of core/resize.h
  // and prepare_images. pixels: the images (height, width, 3), on the host, one after the other.
  virtual void resize_and_prepare_images(Tensor out, std::span<const uint8_t> pixels,
                                         std::span<const ImageSize> sizes,
                                         std::span<const ImageTransform> transforms,
                                         const Normalization& normalization) = 0;
};

}  // namespace countenance
