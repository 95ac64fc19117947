#include "optim/weight_average.h"

namespace countenance {

WeightAverage::WeightAverage(Backend& backend, const ParameterTable& table, float decay)
    : backend_(backend), arena_(backend, table), decay_(decay) {
  require(decay > 0 && decay < 1,
          "Expected a number above 0 and below 1 for emaDecay but received ", decay);
}

ParameterArena& WeightAverage::started(const ParameterArena& weights) {
  if (!started_) backend_.copy(arena_.flat(), weights.flat());
  started_ = true;
  return arena_;
}

void WeightAverage::update(const ParameterArena& weights, Tensor gradient_scale) {
  ensure(started_ && !swapped_, "an average of weights was updated out of order");
  backend_.ema_update(arena_.flat(), weights.flat(), gradient_scale, decay_);
}

void WeightAverage::swap(ParameterArena& weights) {
  started(weights).swap(weights);
  swapped_ = !swapped_;
}

}  // namespace countenance
