#pragma once

#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "core/option.h"
#include "graph/parameters.h"

namespace countenance {

// Parameters with their own learning rate and weight decay, like a param_group of torch.optim.
struct OptimizerGroup {
  float learning_rate_scale = 1.0f;  // times the step's learning rate; 0: the weights do not change
  float weight_decay = 0.0f;
};

struct OptimizerOptions {
  std::string_view name = "sgd";  // the name of an entry in optim/rules.h
  GivenOptions settings = {};     // of that entry's options
  float weight_decay = 0.0f;
  float max_gradient_norm = 0.0f;  // 0: no clipping
  // If empty, one group with `weight_decay`. Otherwise `weight_decay` is not used, and group_of
  // holds the group of each entry of the parameter table (any group for a running statistic).
  std::vector<OptimizerGroup> groups = {};
  std::vector<uint8_t> group_of = {};
};

// Optimizer state of each parameter: an arena laid out like the weights.
struct Slot {
  std::string_view name;  // "velocity", "firstMoment", ...: the names of a checkpoint
  ParameterArena arena;
};

// Updates all weights at once: weights, gradients and slots are flat arenas with one layout. Their
// padding is zero and stays zero, since every rule maps (w, g, state) = 0 to 0.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // A step is prepare(), measure(), update(); the last two may be recorded and replayed.
  // lr: learning rate; step: 1 for the first.
  void prepare(float lr, int64_t step);
  // Computes the gradients' norm and the factor to scale them by. A step whose gradients or loss
  // (1) are not finite is skipped, and so is every step after it until accept() is called.
  void measure(const ParameterArena& gradients, Tensor loss);
  virtual void update(ParameterArena& weights, const ParameterArena& gradients) = 0;

  // Of the last measure(): |gradients|_2 before clipping, and the scale, NaN for a skipped step.
  Tensor norm() const { return norm_; }
  Tensor gradient_scale() const { return gradient_scale_; }
  void accept() { backend_.fill(gradient_scale_, 1.0f); }

  std::deque<Slot>& slots() { return slots_; }

 protected:
  // rates: how many numbers a group's row of `rates` has.
  Optimizer(Backend& backend, const ParameterTable& table, const OptimizerOptions& options,
            int rates);

  Tensor add_slot(std::string_view name, const ParameterTable& table);
  // A group's row of `rates`, as the backend's step reads it. lr: the group's.
  virtual std::vector<float> rates(double lr, double weight_decay, int64_t step) const = 0;

  Backend& backend_;
  const OptimizerOptions options_;
  Tensor groups_;  // absent if there is only one group
  Tensor rates_;   // (G, R)

 private:
  void place_groups(const ParameterTable& table);

  std::vector<OptimizerGroup> group_options_;
  std::unique_ptr<DeviceBlock> scalars_;
  std::unique_ptr<DeviceBlock> rates_block_;
  std::unique_ptr<DeviceBlock> groups_block_;
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
