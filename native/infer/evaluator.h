#pragma once

#include <vector>

#include "graph/plan_cache.h"
#include "models/image_input.h"

namespace countenance {

// What the model says of a batch, row-major.
struct Prediction {
  std::vector<float> logits;      // (B, K)
  std::vector<float> expression;  // (B, D), f_e
  std::vector<float> neutral;     // (B, D), f_n
};

// Runs a model in evaluation mode. A plan is made for each exact batch size and kept for the sizes
// used last. One caller at a time; the model must outlive it.
class Evaluator {
 public:
  explicit Evaluator(Model& model) : model_(model) {}

  // cancel is looked at between ops: ERR_ABORTED.
  Prediction run(const ImageBatch& batch, const Normalization& normalization,
                 const std::atomic<bool>* cancel = nullptr);
  // Forgets the plans: after the model's text changed.
  void reset() { plans_.clear(); }

 private:
  struct Entry {
    Plan plan;
    ImageInput input;
    Value text;
    Value logits;
    Features features;
  };
  std::unique_ptr<Entry> make_plan(int64_t batch) const;

  static constexpr size_t kPlans = 4;

  Model& model_;
  PlanCache<Entry> plans_{kPlans};
};

}  // namespace countenance
