#pragma once

#include <array>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "graph/plan_cache.h"
#include "graph/repeated_run.h"
#include "image/augment.h"
#include "losses/objective_options.h"
#include "models/graphs.h"
#include "optim/optimizer.h"
#include "optim/weight_average.h"

namespace countenance {

struct TrainOptions {
  OptimizerOptions optimizer{};
  float ema_decay = 0;          // 0: no average of the weights
  GivenOptions loss_weights{};  // of loss_weight_options()
  GivenOptions objective{};     // of objective_options()
  Precision precision = Precision::FP32;
  uint64_t seed = 0;  // of augmentation and drop path
  AugmentOptions augmentation{};
  bool guard = false;  // see PlanOptions
};

struct TrainBatch {
  ImageBatch images;
  std::span<const float> targets;  // (B, K), rows summing to 1
  bool augment = false;            // pixels only: draw from (seed, epoch, samples[i])
  uint64_t epoch = 0;
  std::span<const uint32_t> samples;  // (B) index of each image in its data set
  float learning_rate = 0;
  Normalization normalization;
};

struct StepResult {
  float loss = 0;                         // the terms times their weights
  std::array<float, kLossTerms> terms{};  // in the order of loss_terms()
  int64_t correct = 0;                    // samples whose top logit is their target's top class
  float gradient_norm = 0;                // |g|_2 before clipping
};

// Trains a model, one step at a time. One caller at a time, and nobody else may use the model
// meanwhile; the model must outlive it.
class Trainer {
 public:
  // backend: the model's, or another one for the same device with its own number of threads. Throws
  // ERR_INVALID_ARGUMENT naming the option, ERR_UNSUPPORTED for a precision the backend lacks.
  Trainer(Model& model, const TrainOptions& options, std::shared_ptr<Backend> backend);

  // Forward pass, backward pass and update. A step is all or nothing: if this throws (ERR_ABORTED
  // between two ops when `cancel` is set, ERR_NOT_FINITE when the loss or the gradient is not
  // finite), weights, running statistics, optimizer and step count are as before.
  StepResult step(const TrainBatch& batch, const std::atomic<bool>* cancel = nullptr,
                  RunObserver* observer = nullptr) {
    begin(batch, cancel, observer);
    return finish();
  }

  // The two halves of step(). On an asynchronous device, the next step may start before this one is
  // finished, so that the device never waits for the host; at most kInFlight at a time. The device
  // decides whether the loss and the gradient are finite. If they are not, finish() throws
  // ERR_NOT_FINITE, and a step in flight behind that one is skipped too: its finish() throws
  // ERR_ABORTED.
  static constexpr size_t kInFlight = 2;
  void begin(const TrainBatch& batch, const std::atomic<bool>* cancel = nullptr,
             RunObserver* observer = nullptr);
  // Waits for the oldest step in flight.
  StepResult finish();

  // Steps taken or in flight; the key of drop path's random numbers and of AdamW's bias correction.
  int64_t step_count() const { return step_count_; }
  void set_step_count(int64_t count);

  // Gradient of the last step, before clipping, PyTorch's layout, spec.shape.elements() numbers.
  void read_gradient(const ParameterSpec& spec, std::span<float> out) const;

  // The state besides the weights: the optimizer's slots, then "average" if there is one.
  std::vector<std::string> slots();
  void read_slot(std::string_view slot, const ParameterSpec& spec, std::span<float> out);
  void write_slot(std::string_view slot, const ParameterSpec& spec, std::span<const float> in);

  // Swaps the weights with their average, for evaluation; a second call swaps them back.
  void swap_average();

 private:
  struct Entry {
    Plan plan;
    TrainingGraph graph;
    RepeatedRun repeated;
  };
  // A step whose results have not been read yet.
  struct InFlight {
    int64_t index;  // steps taken before it
    float learning_rate;
    bool started_average;
    bool skipped;  // because one before it was
  };
  std::unique_ptr<Entry> make_plan(int64_t batch, bool dry);
  void validate_batch(const TrainBatch& batch) const;
  void draw_transforms(const TrainBatch& batch);
  void load(Entry& entry, const TrainBatch& batch);
  void run(const Entry& entry, const RunBindings& bindings);
  void roll_back(const InFlight& step);
  ParameterArena& slot_arena(std::string_view slot, const ParameterSpec& spec);

  static constexpr size_t kPlans = 2;  // full batches, and the last one of an epoch

  Model& model_;
  TrainOptions options_;
  ObjectiveAttributes objective_;  // logit_scale and neutral are the model's
  std::shared_ptr<Backend> backend_;
  ParameterArena gradients_;
  ParameterArena statistics_before_;  // running statistics at the start of the step
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<WeightAverage> average_;
  std::unique_ptr<DeviceBlock> results_;  // of a step: its losses, the gradient's norm
  std::unique_ptr<Readback> readbacks_[kInFlight];
  std::deque<InFlight> in_flight_;
  PlanCache<Entry> plans_{kPlans};
  std::vector<ImageTransform> transforms_;
  int64_t step_count_ = 0;
  bool has_gradients_ = false;
};

}  // namespace countenance
