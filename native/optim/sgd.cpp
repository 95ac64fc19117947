#include "optim/rules.h"

namespace countenance {

namespace {

// torch.optim.SGD: v = momentum v + g + weight_decay w; w -= lr v.
class Sgd final : public Optimizer {
 public:
  Sgd(Backend& backend, const ParameterTable& table, const OptimizerOptions& options)
      : Optimizer(backend, table, options, kSgdRates),
        attributes_(attributes(options)),
        velocity_(add_slot("velocity", table)) {}

  void update(ParameterArena& weights, const ParameterArena& gradients) override {
    backend_.sgd_step({.weights = weights.flat(),
                       .gradients = gradients.flat(),
                       .gradient_scale = gradient_scale(),
                       .groups = groups_,
                       .rates = rates_},
                      velocity_, attributes_);
  }

 protected:
  std::vector<float> rates(double lr, double weight_decay, int64_t) const override {
    std::vector<float> values(kSgdRates);
    values[kSgdRate] = static_cast<float>(lr);
    values[kSgdDecay] = static_cast<float>(weight_decay);
    return values;
  }

 private:
  static SgdAttributes attributes(const OptimizerOptions& options) {
    const OptionValues values(sgd_rule().options, options.settings);
    const float momentum = values.number("momentum");
    const bool nesterov = values.is_on("nesterov");
    require(!nesterov || momentum > 0, "Expected a momentum above 0 for nesterov but received ",
            momentum);
    return {.momentum = momentum, .nesterov = nesterov};
  }

  const SgdAttributes attributes_;
  Tensor velocity_;
};

}  // namespace

const OptimizerRule& sgd_rule() {
  using Kind = OptionSpec::Kind;
  using Range = OptionSpec::Range;
  static const OptimizerRule rule{
      .name = "sgd",
      .label = "SGD",
      .options = {{.name = "momentum",
                   .range = Range::BelowOne,
                   .initial = {0.9f},
                   .help = "share of the last step's velocity that is kept"},
                  {.name = "nesterov", .kind = Kind::Switch, .help = "Nesterov's momentum"}},
      .slots = {"velocity"},
      .defaults = {.learning_rate = 0.1f, .steep_learning_rate = 0.05f, .weight_decay = 5e-4f},
      .make = [](Backend& backend, const ParameterTable& table, const OptimizerOptions& options)
          -> std::unique_ptr<Optimizer> { return std::make_unique<Sgd>(backend, table, options); }};
  return rule;
}

}  // namespace countenance
