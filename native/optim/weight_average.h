#pragma once

#include "graph/parameters.h"

namespace countenance {

// Exponential moving average of the weights: average = decay average + (1 - decay) weights after
// each update. It starts as a copy of the weights before the first update. Running statistics are
// averages already and are not averaged again.
class WeightAverage {
 public:
  // decay: between 0 and 1, exclusive; anything else is ERR_INVALID_ARGUMENT.
  WeightAverage(Backend& backend, const ParameterTable& table, float decay);

  // The average; if there is none yet, it starts from these weights.
  ParameterArena& started(const ParameterArena& weights);
  bool is_started() const { return started_; }
  // Back to the state before the first update: the step that started it was rolled back.
  void forget() { started_ = false; }
  // Does nothing if gradient_scale (1) is NaN: the step was skipped.
  void update(const ParameterArena& weights, Tensor gradient_scale);
  // Swaps the weights with the average; a second call swaps them back.
  void swap(ParameterArena& weights);
  bool swapped() const { return swapped_; }

 private:
  Backend& backend_;
  ParameterArena arena_;
  float decay_;
  bool started_ = false;
  bool swapped_ = false;
};

}  // namespace countenance
