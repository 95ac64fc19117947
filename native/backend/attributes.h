#pragma once

#include <cstdint>

#include "core/host_device.h"
#include "core/tensor.h"

// The attributes of the backend's operations: plain values, no memory.

namespace countenance {

struct Conv2dAttributes {
  int64_t stride = 1;
  int64_t padding = 0;  // zeros on each side; the kernel's size is the weight's
};

enum class Activation : uint8_t { None, Relu, Gelu };  // Gelu: of linear layers only

// What happens to a product before it is stored:
//   y = activation(scale[c] * product + shift[c] + residual)
// Every tensor may be absent. `scale` and `shift` (C) are a folded batch norm or a bias.
struct Epilogue {
  Tensor scale = {};
  Tensor shift = {};
  Tensor residual = {};  // shape of y
  Activation activation = Activation::None;
  // Also written, where they are present:
  Tensor pre_activation = {};  // shape of y; with Gelu: what it is applied to
  Tensor statistics = {};      // conv2d_statistics() bytes; convolutions without anything above
};

struct BatchNormAttributes {
  float eps = 1e-5f;
  float momentum = 0.1f;  // running = (1 - momentum) running + momentum batch
  Activation activation = Activation::None;
};

struct MaxPoolAttributes {
  int64_t kernel = 3;
  int64_t stride = 2;
  int64_t padding = 1;  // never wins: padding counts as minus infinity
};

struct WindowAttentionAttributes {
  int64_t heads = 1;
  int64_t window = 7;  // tokens per side
  int64_t shift = 0;   // cyclic shift of the windows, 0 <= shift < window
};

// Where an operation's random numbers come from (core/philox.h).
struct RandomKey {
  uint64_t seed = 0;
  uint64_t stream = 0;
};

enum class Contrast : uint8_t { Pairwise, Diagonal };

// Offsets in the objective's `losses` tensor: the total, the terms in the order of loss_terms()
// (losses/objective_options.h), the number of correct samples.
enum ObjectiveValue : int {
  kTotal,
  kSupervised,
  kTransformation,
  kContrast,
  kCorrect,
  kObjectiveValues
};
inline constexpr int kFirstTerm = kSupervised;
inline constexpr int kLossTerms = kCorrect - kFirstTerm;

// METHOD: L = lambda_s L_s + lambda_t L_t + lambda_c L_c.
struct ObjectiveAttributes {
  float logit_scale = 100.0f;
  int64_t neutral = 0;  // index of the neutral class
  float weights[kLossTerms] = {1.0f, 1.0f, 1.0f};
  Contrast contrast = Contrast::Pairwise;
  float label_smoothing = 0.0f;  // in [0, 1)

  // Szegedy et al. 2016, as label_smoothing of torch.nn.CrossEntropyLoss: part of each target is
  // spread evenly over the classes.
  COUNTENANCE_HOST_DEVICE double smoothed(float target, int64_t classes) const {
    if (label_smoothing == 0.0f) return target;
    return (1.0 - label_smoothing) * target +
           static_cast<double>(label_smoothing) / static_cast<double>(classes);
  }
  COUNTENANCE_HOST_DEVICE float weight(ObjectiveValue term) const {
    return weights[term - kFirstTerm];
  }
};

struct SgdAttributes {
  float momentum = 0.0f;
  bool nesterov = false;
};

// Offsets in each row of sgd_step's `rates`.
enum SgdRate : int {
  kSgdRate,   // lr
  kSgdDecay,  // weight_decay
  kSgdRates
};

struct AdamWAttributes {
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float eps = 1e-8f;
};

// Offsets in each row of adamw_step's `rates` at step t = 1, 2, ...
enum AdamWRate : int {
  kAdamWRate,        // lr / (1 - beta1^t)
  kAdamWKeep,        // 1 - lr weight_decay
  kAdamWRootFactor,  // 1 / sqrt(1 - beta2^t)
  kAdamWRates
};

struct LionAttributes {
  float beta1 = 0.9f;
  float beta2 = 0.99f;
};

// Offsets in each row of lion_step's `rates`.
enum LionRate : int {
  kLionRate,  // lr
  kLionKeep,  // 1 - lr weight_decay
  kLionRates
};

// Elements of an arena that share one entry of an optimizer's `groups`: at least a vector of any
// backend, at most the alignment of parameters.
inline constexpr int64_t kGroupElements = 16;

// One sample's augmentation, drawn on the host (image/augment.h), applied by the backend.
// Order as in the reference: crop, flip, normalise, erase.
struct ImageTransform {
  int32_t shift_y = 0;  // source row of output row y is y + shift_y; outside the image: 0 (black)
  int32_t shift_x = 0;
  bool flip = false;  // horizontal, after the crop
  int32_t erase_top = 0;
  int32_t erase_left = 0;
  int32_t erase_height = 0;  // 0: nothing is erased
  int32_t erase_width = 0;
};

// The size of an image before it is resized.
struct ImageSize {
  int64_t width = 0;  // pixels, 1..kMaxImageSide (core/resize.h)
  int64_t height = 0;
};

struct Normalization {
  float mean[3] = {0.485f, 0.456f, 0.406f};
  float std[3] = {0.229f, 0.224f, 0.225f};
};

}  // namespace countenance
