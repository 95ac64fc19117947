#include "optim/rules.h"

namespace countenance {

namespace {

// Chen et al., "Symbolic discovery of optimization algorithms", 2023: the sign of a blend of
// momentum and gradient, with decoupled weight decay.
class Lion final : public Optimizer {
 public:
  Lion(Backend& backend, const ParameterTable& table, const OptimizerOptions& options)
      : Optimizer(backend, table, options, kLionRates),
        attributes_(attributes(options)),
        momentum_(add_slot("momentum", table)) {}

  void update(ParameterArena& weights, const ParameterArena& gradients) override {
    backend_.lion_step({.weights = weights.flat(),
                        .gradients = gradients.flat(),
                        .gradient_scale = gradient_scale(),
                        .groups = groups_,
                        .rates = rates_},
                       momentum_, attributes_);
  }

 protected:
  std::vector<float> rates(double lr, double weight_decay, int64_t) const override {
    std::vector<float> values(kLionRates);
    values[kLionRate] = static_cast<float>(lr);
    values[kLionKeep] = static_cast<float>(1 - lr * weight_decay);
    return values;
  }

 private:
  static LionAttributes attributes(const OptimizerOptions& options) {
    const auto [beta1, beta2] = OptionValues(lion_rule().options, options.settings).pair("betas");
    return {.beta1 = beta1, .beta2 = beta2};
  }

  const LionAttributes attributes_;
  Tensor momentum_;
};

}  // namespace

// The paper's advice: a fifth of AdamW's learning rate, five times its weight decay.
const OptimizerRule& lion_rule() {
  static const OptimizerRule rule{
      .name = "lion",
      .label = "Lion",
      .options = {{.name = "betas",
                   .kind = OptionSpec::Kind::Pair,
                   .range = OptionSpec::Range::BelowOne,
                   .initial = {0.9f, 0.99f},
                   .help = "share of the momentum in a step, and of what is kept of it"}},
      .slots = {"momentum"},
      .defaults = {.learning_rate = 1e-4f,
                   .steep_learning_rate = 1e-4f,
                   .weight_decay = 0.25f,
                   .max_gradient_norm = 5.0f},
      .make = [](Backend& backend, const ParameterTable& table,
                 const OptimizerOptions& options) -> std::unique_ptr<Optimizer> {
        return std::make_unique<Lion>(backend, table, options);
      }};
  return rule;
}

}  // namespace countenance
