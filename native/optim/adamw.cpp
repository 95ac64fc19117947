#include <cmath>

#include "optim/rules.h"

namespace countenance {

namespace {

// Loshchilov & Hutter, "Decoupled weight decay regularization", 2019; like torch.optim.AdamW.
class AdamW final : public Optimizer {
 public:
  AdamW(Backend& backend, const ParameterTable& table, const OptimizerOptions& options)
      : Optimizer(backend, table, options, kAdamWRates),
        attributes_(attributes(options)),
        first_moment_(add_slot("firstMoment", table)),
        second_moment_(add_slot("secondMoment", table)) {}

  void update(ParameterArena& weights, const ParameterArena& gradients) override {
    backend_.adamw_step({.weights = weights.flat(),
                         .gradients = gradients.flat(),
                         .gradient_scale = gradient_scale(),
                         .groups = groups_,
                         .rates = rates_},
                        first_moment_, second_moment_, attributes_);
  }

 protected:
  std::vector<float> rates(double lr, double weight_decay, int64_t step) const override {
    const double t = static_cast<double>(step);
    const double correction1 = 1 - std::pow(static_cast<double>(attributes_.beta1), t);
    const double correction2 = 1 - std::pow(static_cast<double>(attributes_.beta2), t);
    std::vector<float> values(kAdamWRates);
    values[kAdamWRate] = static_cast<float>(lr / correction1);
    values[kAdamWKeep] = static_cast<float>(1 - lr * weight_decay);
    values[kAdamWRootFactor] = static_cast<float>(1 / std::sqrt(correction2));
    return values;
  }

 private:
  static AdamWAttributes attributes(const OptimizerOptions& options) {
    const OptionValues values(adamw_rule().options, options.settings);
    const auto [beta1, beta2] = values.pair("betas");
    return {.beta1 = beta1, .beta2 = beta2, .eps = values.number("eps")};
  }

  const AdamWAttributes attributes_;
  Tensor first_moment_;
  Tensor second_moment_;
};

}  // namespace

const OptimizerRule& adamw_rule() {
  using Kind = OptionSpec::Kind;
  using Range = OptionSpec::Range;
  static const OptimizerRule rule{
      .name = "adamw",
      .label = "AdamW",
      .options = {{.name = "betas",
                   .kind = Kind::Pair,
                   .range = Range::BelowOne,
                   .initial = {0.9f, 0.999f},
                   .help = "decay of the averages of the gradient and of its square"},
                  {.name = "eps",
                   .range = Range::Positive,
                   .initial = {1e-8f},
                   .help = "added to the root of the second average"}},
      .slots = {"firstMoment", "secondMoment"},
      .defaults = {.learning_rate = 5e-4f,
                   .steep_learning_rate = 5e-4f,
                   .weight_decay = 0.05f,
                   .max_gradient_norm = 5.0f},
      .make = [](Backend& backend, const ParameterTable& table,
                 const OptimizerOptions& options) -> std::unique_ptr<Optimizer> {
        return std::make_unique<AdamW>(backend, table, options);
      }};
  return rule;
}

}  // namespace countenance
