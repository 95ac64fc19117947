#include <cmath>

#include "optim/rules.h"

namespace countenance {

namespace {

// Loshchilov & Hutter, "Decoupled weight decay regularization", 2019; as torch.optim.AdamW.
class AdamW final : public Optimizer {
 public:
  AdamW(Backend& backend, const ParameterTable& table, const OptimizerOptions& options)
      : Optimizer(backend, table, options, kAdamWRates),
        first_moment_(add_slot("firstMoment", table)),
        second_moment_(add_slot("secondMoment", table)) {}

  void update(ParameterArena& weights, const ParameterArena& gradients) override {
    backend_.adamw_step(weights.flat(), first_moment_, second_moment_, gradients.flat(),
                        gradient_scale(), groups_, rates_,
                        {.beta1 = options_.beta1, .beta2 = options_.beta2, .eps = options_.eps});
  }

 protected:
  std::vector<float> rates(double lr, double weight_decay, int64_t step) const override {
    const double t = static_cast<double>(step);
    const double correction1 = 1 - std::pow(static_cast<double>(options_.beta1), t);
    const double correction2 = 1 - std::pow(static_cast<double>(options_.beta2), t);
    std::vector<float> values(kAdamWRates);
    values[kAdamWRate] = static_cast<float>(lr / correction1);
    values[kAdamWKeep] = static_cast<float>(1 - lr * weight_decay);
    values[kAdamWRootFactor] = static_cast<float>(1 / std::sqrt(correction2));
    return values;
  }

 private:
  Tensor first_moment_;
  Tensor second_moment_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(Backend& backend, const ParameterTable& table,
                                      const OptimizerOptions& options) {
  return std::make_unique<AdamW>(backend, table, options);
}

}  // namespace countenance
