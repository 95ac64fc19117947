#include "optim/rules.h"

namespace countenance {

namespace {

// Loshchilov & Hutter, "Decoupled weight decay regularization", 2019; as torch.optim.AdamW.
class AdamW final : public Optimizer {
 public:
  AdamW(Backend& backend, const ParameterTable& table, const OptimizerOptions& options)
      : Optimizer(backend, table, options),
        first_moment_(add_slot("firstMoment", table)),
        second_moment_(add_slot("secondMoment", table)) {}

  void update(ParameterArena& weights, const ParameterArena& gradients, float lr,
              int64_t step) override {
    backend_.adamw_step(weights.flat(), first_moment_, second_moment_, gradients.flat(),
                        gradient_scale_,
                        {.learning_rate = lr,
                         .beta1 = options_.beta1,
                         .beta2 = options_.beta2,
                         .eps = options_.eps,
                         .weight_decay = options_.weight_decay,
                         .step = step});
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
