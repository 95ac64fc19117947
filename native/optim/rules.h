#pragma once

#include "optim/optimizer.h"

// The table of optimizers. Each is in its own file, which describes its options and state.

namespace countenance {

// What the trainer uses if the user sets nothing.
struct OptimizerDefaults {
  float learning_rate = 0;
  // Used if the logit scale is above 50, where gradients are that much larger.
  float steep_learning_rate = 0;
  float weight_decay = 0;
  float max_gradient_norm = 0;  // 0: no clipping
};

struct OptimizerRule {
  std::string_view name;   // "sgd"
  std::string_view label;  // "SGD"
  std::vector<OptionSpec> options;
  std::vector<std::string_view> slots;  // as add_slot() names them
  OptimizerDefaults defaults;
  std::unique_ptr<Optimizer> (*make)(Backend&, const ParameterTable&, const OptimizerOptions&);
};

const OptimizerRule& sgd_rule();
const OptimizerRule& adamw_rule();
const OptimizerRule& lion_rule();

std::span<const OptimizerRule* const> optimizer_rules();
// Throws ERR_INVALID_ARGUMENT listing the known names.
const OptimizerRule& find_optimizer(std::string_view name);

}  // namespace countenance
