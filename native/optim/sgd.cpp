#include "optim/rules.h"

namespace countenance {

namespace {

// torch.optim.SGD: v = momentum v + g + weight_decay w; w -= lr v.
class Sgd final : public Optimizer {
 public:
  Sgd(Backend& backend, const ParameterTable& table, const OptimizerOptions& options)
      : Optimizer(backend, table, options, kSgdRates), velocity_(add_slot("velocity", table)) {}

  void update(ParameterArena& weights, const ParameterArena& gradients) override {
    backend_.sgd_step(weights.flat(), velocity_, gradients.flat(), gradient_scale(), groups_,
                      rates_, {.momentum = options_.momentum, .nesterov = options_.nesterov});
  }

 protected:
  std::vector<float> rates(double lr, double weight_decay, int64_t) const override {
    std::vector<float> values(kSgdRates);
    values[kSgdRate] = static_cast<float>(lr);
    values[kSgdDecay] = static_cast<float>(weight_decay);
    return values;
  }

 private:
  Tensor velocity_;
};

}  // namespace

std::unique_ptr<Optimizer> make_sgd(Backend& backend, const ParameterTable& table,
                                    const OptimizerOptions& options) {
  return std::make_unique<Sgd>(backend, table, options);
}

}  // namespace countenance
