#pragma once

#include <memory>
#include <vector>

#include "graph/plan_cache.h"
#include "graph/repeated_run.h"
#include "models/graphs.h"

namespace countenance {

// The model's outputs for a batch, row-major.
struct Prediction {
  std::vector<float> logits;      // (B, K)
  std::vector<float> expression;  // (B, D), f_e
  std::vector<float> neutral;     // (B, D), f_n
  std::vector<float> mirrored;    // (B, D), f_e of the mirror images; empty without test-time flip
};

// Test-time flip: the mean of the logits of images and of their mirror images; f_e and f_n are
// those of the images.
Prediction with_flip(Prediction images, Prediction mirror_images);

// Runs a model in evaluation mode. A plan is built for each exact batch size and kept for the most
// recently used sizes. One caller at a time; the model must outlive it.
class Evaluator {
 public:
  // Two batches, each with its mirror images.
  static constexpr int kInFlight = 4;

  // Throws ERR_UNSUPPORTED for a precision that the model's backend lacks.
  explicit Evaluator(Model& model, Precision precision = Precision::FP32);

  // A run whose results may still be in flight.
  struct InFlight {
    std::shared_ptr<Readback> results;
    int64_t batch = 0;
    int64_t classes = 0;
  };

  // cancel is checked between ops, or before a recorded run: ERR_ABORTED. transform: applied to
  // each image, for example to mirror it; not applied to normalised images.
  Prediction run(const ImageBatch& batch, const Normalization& normalization,
                 const std::atomic<bool>* cancel = nullptr, const ImageTransform& transform = {}) {
    return finish(begin(batch, normalization, cancel, transform));
  }
  // The two halves of run(): kInFlight runs may have begun before the first is finished.
  InFlight begin(const ImageBatch& batch, const Normalization& normalization,
                 const std::atomic<bool>* cancel = nullptr, const ImageTransform& transform = {});
  static Prediction finish(const InFlight& run);

 private:
  struct Entry {
    Plan plan;
    EvaluationGraph graph;
    std::unique_ptr<DeviceBlock> results;  // float32: expression, neutral, logits
    std::shared_ptr<Readback> readbacks[kInFlight];
    int next_readback = 0;
    RepeatedRun repeated;
  };
  std::unique_ptr<Entry> make_plan(int64_t batch, bool dry) const;
  void forward(const Entry& entry, int64_t batch, const std::atomic<bool>* cancel) const;

  static constexpr size_t kPlans = 4;

  Model& model_;
  Precision precision_;
  PlanCache<Entry> plans_{kPlans};
};

}  // namespace countenance
