#include "optim/optimizer.h"

#include <cmath>

#include "core/arena.h"
#include "optim/rules.h"

namespace countenance {

namespace {

void check_at_least_zero(const char* name, float value) {
  require(std::isfinite(value) && value >= 0, "Expected a number of at least 0 for ", name,
          " but received ", value);
}

void check_decay(const char* name, float value) {
  require(value >= 0 && value < 1, "Expected a number from 0 to below 1 for ", name,
          " but received ", value);
}

}  // namespace

void validate(const OptimizerOptions& options) {
  check_at_least_zero("weightDecay", options.weight_decay);
  check_at_least_zero("maxGradientNorm", options.max_gradient_norm);
  check_decay("momentum", options.momentum);
  check_decay("beta1", options.beta1);
  check_decay("beta2", options.beta2);
  require(std::isfinite(options.eps) && options.eps > 0,
          "Expected a positive number for eps but received ", options.eps);
  require(!options.nesterov || options.momentum > 0,
          "Expected a momentum above 0 for nesterov but received ", options.momentum);
}

Optimizer::Optimizer(Backend& backend, const ParameterTable& table, const OptimizerOptions& options)
    : backend_(backend), options_(options) {
  scalars_ = backend.allocate(3 * kAlignment);
  char* scalars = static_cast<char*>(scalars_->data());
  gradient_scale_ = {scalars, Shape{1}, DType::F32};
  norm_ = {scalars + kAlignment, Shape{1}, DType::F32};
  rates_ = {scalars + 2 * kAlignment, Shape{kMaxRates}, DType::F32};
  const size_t bytes = backend.clip_workspace(table.trained_elements());
  if (bytes) {
    workspace_block_ = backend.allocate(bytes);
    workspace_ = {workspace_block_->data(), Shape{static_cast<int64_t>(bytes / sizeof(float))},
                  DType::F32};
  }
}

Tensor Optimizer::add_slot(std::string_view name, const ParameterTable& table) {
  return slots_.emplace_back(Slot{name, ParameterArena(backend_, table)}).arena.flat();
}

void Optimizer::prepare(float lr, int64_t step) {
  std::vector<float> values = rates(lr, step);
  ensure(values.size() <= kMaxRates, "an optimizer with ", values.size(), " rates");
  values.resize(kMaxRates);
  backend_.copy_in(rates_, values.data());
}

void Optimizer::measure(const ParameterArena& gradients, Tensor loss) {
  backend_.clip_gradient(gradient_scale_, norm_, gradients.flat(), loss, options_.max_gradient_norm,
                         workspace_);
}

std::unique_ptr<Optimizer> make_optimizer(Backend& backend, const ParameterTable& table,
                                          const OptimizerOptions& options) {
  validate(options);
  return options.kind == OptimizerOptions::Kind::Sgd ? make_sgd(backend, table, options)
                                                     : make_adamw(backend, table, options);
}

}  // namespace countenance
