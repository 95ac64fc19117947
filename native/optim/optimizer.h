#pragma once

#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "graph/parameters.h"

namespace countenance {

struct OptimizerOptions {
  enum class Kind : uint8_t { Sgd, AdamW } kind = Kind::Sgd;
  float momentum = 0.9f;  // SGD, 0..1
  bool nesterov = false;  // SGD
  float beta1 = 0.9f;     // AdamW, 0..1, both
  float beta2 = 0.999f;
  float eps = 1e-8f;  // AdamW
  float weight_decay = 0.0f;
  float max_gradient_norm = 0.0f;  // 0: no clipping
};

// Throws ERR_INVALID_ARGUMENT with the option's name when one is out of its range.
void validate(const OptimizerOptions& options);

// What an optimizer remembers of each parameter: an arena laid out like the weights.
struct Slot {
  std::string_view name;  // "velocity", "firstMoment", ...: the names of a checkpoint
  ParameterArena arena;
};

// Updates all weights at once: weights, gradients and slots are flat arenas of one layout. Their
// padding is zero and stays zero, since every rule maps (w, g, state) = 0 to 0.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // A step is prepare(), measure(), update(); the last two may be recorded and replayed.
  // lr: learning rate; step: 1 for the first.
  void prepare(float lr, int64_t step);
  // Finds the gradients' length and what they are scaled by. A step whose gradients or loss (1)
  // are not finite is refused, and so is every step behind it until accept() is called.
  void measure(const ParameterArena& gradients, Tensor loss);
  virtual void update(ParameterArena& weights, const ParameterArena& gradients) = 0;

  // Of the last measure(): |gradients|_2 before clipping, and the scale, NaN for a refused step.
  Tensor norm() const { return norm_; }
  Tensor gradient_scale() const { return gradient_scale_; }
  void accept() { backend_.fill(gradient_scale_, 1.0f); }

  std::deque<Slot>& slots() { return slots_; }

 protected:
  Optimizer(Backend& backend, const ParameterTable& table, const OptimizerOptions& options);

  Tensor add_slot(std::string_view name, const ParameterTable& table);
  // What the backend's step reads as `rates`.
  virtual std::vector<float> rates(float lr, int64_t step) const = 0;

  Backend& backend_;
  const OptimizerOptions options_;
  Tensor rates_;

 private:
  static constexpr int64_t kMaxRates = 4;

  std::unique_ptr<DeviceBlock> scalars_;
  std::unique_ptr<DeviceBlock> workspace_block_;
  Tensor gradient_scale_;  // (1)
  Tensor norm_;            // (1)
  Tensor workspace_;
  std::deque<Slot> slots_;
};

// The backend must outlive the optimizer.
std::unique_ptr<Optimizer> make_optimizer(Backend& backend, const ParameterTable& table,
                                          const OptimizerOptions& options);

}  // namespace countenance
