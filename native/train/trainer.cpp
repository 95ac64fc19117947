#include "train/trainer.h"

#include <algorithm>
#include <cmath>

namespace countenance {

namespace {

// Random-number keys leave room for this many steps (graph/plan.cpp).
constexpr int64_t kMaxSteps = int64_t{1} << 40;
// Floats of a step's results: its losses, then the gradient's norm.
constexpr int64_t kNormPlace = kObjectiveValues;
constexpr int64_t kResults = kObjectiveValues + 1;
// Soft labels are sums of votes divided in float32.
constexpr double kTargetTolerance = 1e-3;

TrainOptions checked(const TrainOptions& options, const Backend& backend) {
  check(options.augmentation);
  require(options.ema_decay >= 0 && options.ema_decay < 1,
          "Expected a number from 0 to below 1 for emaDecay but received ", options.ema_decay);
  require_precision(backend, options.precision);
  return options;
}

void check_targets(std::span<const float> targets, int64_t batch, int64_t classes) {
  if (static_cast<int64_t>(targets.size()) != batch * classes) {
    fail(code::kShapeMismatch, "Expected targets of shape ", Shape{batch, classes}, ", ",
         batch * classes, " numbers, but received ", targets.size());
  }
  for (int64_t b = 0; b < batch; ++b) {
    double sum = 0;
    bool valid = true;
    for (int64_t k = 0; k < classes; ++k) {
      const float target = targets[static_cast<size_t>(b * classes + k)];
      valid = valid && target >= 0;  // false for NaN
      sum += static_cast<double>(target);
    }
    if (!valid || !(std::abs(sum - 1) <= kTargetTolerance)) {
      fail(code::kLabelRange, "Expected targets of at least 0 that sum to 1 for sample ", b,
           " but their sum is ", sum);
    }
  }
}

}  // namespace

Trainer::Trainer(Model& model, const TrainOptions& options, std::shared_ptr<Backend> backend)
    : model_(model),
      options_(checked(options, *backend)),
      objective_(objective_attributes(options.loss_weights, options.objective)),
      backend_(std::move(backend)),
      gradients_(*backend_, model.table()),
      statistics_before_(*backend_, model.table(), ParameterArena::Part::Statistics),
      optimizer_(make_optimizer(*backend_, model.table(), options.optimizer)) {
  // Packed weights are read in place: both backends must use the same packing.
  require(backend_->description() == model.backend().description(), "a trainer on ",
          backend_->description(), " cannot train a model on ", model.backend().description());
  if (options_.ema_decay > 0) average_.emplace(*backend_, model.table(), options_.ema_decay);
  results_ = backend_->allocate(kResults * sizeof(float));
  for (auto& readback : readbacks_) readback = backend_->make_readback(results_->bytes());
}

std::unique_ptr<Trainer::Entry> Trainer::make_plan(int64_t batch, bool dry) {
  Graph graph(*backend_, model_.table(), Mode::Training, options_.precision);
  const TrainingGraph built = training_graph(graph, model_.config(), batch, objective_);
  return std::make_unique<Entry>(
      Entry{Plan(std::move(graph), {.dry = dry, .guard = options_.guard}), built, {}});
}

void Trainer::validate_batch(const TrainBatch& batch) const {
  validate(batch.images, model_.config().input_size);
  check_targets(batch.targets, batch.images.size, model_.config().classes);
  require(std::isfinite(batch.learning_rate) && batch.learning_rate >= 0,
          "Expected a number of at least 0 for learningRate but received ", batch.learning_rate);
  require(!batch.augment || !batch.images.pixels.empty(),
          "Expected uint8 images for augment but received float32 ones");
  if (batch.augment && static_cast<int64_t>(batch.samples.size()) != batch.images.size) {
    fail(code::kShapeMismatch, "Expected ", batch.images.size, " samples but received ",
         batch.samples.size());
  }
  require(!average_ || !average_->swapped(),
          "the average stands in place of the weights; swap it back before the next step");
  require(step_count_ < kMaxSteps, "a trainer takes at most ", kMaxSteps, " steps");
}

void Trainer::draw_transforms(const TrainBatch& batch) {
  transforms_.assign(static_cast<size_t>(batch.images.size), ImageTransform{});
  if (!batch.augment) return;
  for (size_t i = 0; i < transforms_.size(); ++i) {
    transforms_[i] = draw_transform(options_.augmentation, model_.config().input_size,
                                    options_.seed, batch.epoch, batch.samples[i]);
  }
}

// Copies the host's inputs of a step to the device.
void Trainer::load(Entry& entry, const TrainBatch& batch) {
  draw_transforms(batch);
  load_images(entry.plan, entry.graph.input, batch.images, transforms_, batch.normalization);
  backend_->copy_in(entry.plan.tensor(entry.graph.targets), batch.targets.data());
  optimizer_->prepare(batch.learning_rate, step_count_ + 1);
}

// The step itself: reads and writes nothing but the backend's memory.
void Trainer::run(const Entry& entry, const RunBindings& bindings) {
  backend_->copy(entry.plan.tensor(entry.graph.text), model_.text());
  entry.plan.forward(bindings);
  entry.plan.backward(bindings);

  const Tensor losses = entry.plan.tensor(entry.graph.objective.losses);
  ParameterArena& weights = model_.parameters().weights;
  optimizer_->measure(gradients_, tensor_of(losses.f32() + kTotal, Shape{1}));
  optimizer_->update(weights, gradients_);
  const Tensor scale = optimizer_->gradient_scale();
  if (average_) average_->update(weights, scale);
  backend_->restore_skipped(model_.parameters().statistics.flat(), statistics_before_.flat(),
                            scale);
  float* results = static_cast<float*>(results_->data());
  backend_->copy(tensor_of(results, losses.shape), losses);
  backend_->copy(tensor_of(results + kNormPlace, Shape{1}), optimizer_->norm());
}

void Trainer::begin(const TrainBatch& batch, const std::atomic<bool>* cancel,
                    RunObserver* observer) {
  ensure(in_flight_.size() < kInFlight, "a step was started before an earlier one was finished");
  validate_batch(batch);
  require_going_on(cancel);
  Entry& entry = plans_.get(
      batch.images.size, [this](int64_t size) { return make_plan(size, false); },
      [this](int64_t size) { return make_plan(size, true)->plan.bytes(); });

  load(entry, batch);
  ParameterStore& parameters = model_.parameters();
  InFlight step{step_count_, batch.learning_rate, average_ && !average_->is_started(), false};
  if (average_) average_->started(parameters.weights);
  // The forward pass updates the running statistics; the rest changes only what a skipped step
  // leaves alone.
  backend_->copy(statistics_before_.flat(), parameters.statistics.flat());
  has_gradients_ = false;
  const RunBindings bindings{.parameters = &parameters,
                             .gradients = &gradients_,
                             .seed = options_.seed,
                             .step = static_cast<uint64_t>(step_count_),
                             .cancel = cancel,
                             .observer = observer};
  try {
    if (observer || options_.guard) {  // both read memory between ops
      run(entry, bindings);
    } else {
      entry.repeated.run(*backend_, parameters.weights.flat().data, first_stream(bindings.step),
                         [&] { run(entry, bindings); });
    }
    readbacks_[step_count_ % kInFlight]->start(
        tensor_of(static_cast<float*>(results_->data()), Shape{kResults}));
  } catch (...) {
    backend_->copy(parameters.statistics.flat(), statistics_before_.flat());
    roll_back(step);
    throw;
  }
  has_gradients_ = true;
  in_flight_.push_back(step);
  ++step_count_;
}

StepResult Trainer::finish() {
  ensure(!in_flight_.empty(), "no step is in flight");
  const InFlight step = in_flight_.front();
  in_flight_.pop_front();
  const float* results = static_cast<const float*>(readbacks_[step.index % kInFlight]->wait());
  if (step.skipped) {
    fail(code::kAborted, "step ", step.index + 1, " was not taken: the one before it failed");
  }
  const float loss = results[kTotal];
  const float norm = results[kNormPlace];
  if (!std::isfinite(loss) || !std::isfinite(norm)) {
    for (InFlight& later : in_flight_) later.skipped = true;
    optimizer_->accept();  // queued after the steps in flight
    roll_back(step);
    fail(code::kNotFinite, "step ", step.index + 1, " with learning rate ", step.learning_rate,
         " gave a loss of ", loss, " and a gradient of norm ", norm,
         "; the weights are as before it. Try a lower learning rate");
  }
  StepResult result{
      .loss = loss, .correct = static_cast<int64_t>(results[kCorrect]), .gradient_norm = norm};
  std::copy_n(results + kFirstTerm, kLossTerms, result.terms.begin());
  return result;
}

// Rolls back the host's state for a step that was not taken.
void Trainer::roll_back(const InFlight& step) {
  step_count_ = step.index;
  if (step.started_average) average_->forget();
}

void Trainer::set_step_count(int64_t count) {
  ensure(in_flight_.empty(), "the step count was set in the middle of a step");
  require(count >= 0 && count < kMaxSteps, "Expected a number of steps from 0 to ", kMaxSteps - 1,
          " but received ", count);
  step_count_ = count;
}

namespace {

void check_size(const ParameterSpec& spec, size_t received) {
  if (static_cast<int64_t>(received) != spec.shape.elements()) {
    fail(code::kShapeMismatch, spec.name, ": Expected ", spec.shape, " but received ", received,
         " numbers");
  }
}

}  // namespace

void Trainer::read_gradient(const ParameterSpec& spec, std::span<float> out) const {
  require(spec.trainable(), spec.name, " is a running statistic and has no gradient");
  require(has_gradients_, "there is no gradient before a step that went through");
  check_size(spec, out.size());
  gradients_.read(out.data(), spec, *backend_);
}

std::vector<std::string> Trainer::slots() {
  std::vector<std::string> names;
  for (const Slot& slot : optimizer_->slots()) names.emplace_back(slot.name);
  if (average_) names.emplace_back("average");
  return names;
}

ParameterArena& Trainer::slot_arena(std::string_view slot, const ParameterSpec& spec) {
  require(spec.trainable(), spec.name, " is a running statistic and has no state");
  for (Slot& candidate : optimizer_->slots()) {
    if (candidate.name == slot) return candidate.arena;
  }
  require(average_ && slot == "average", "the trainer has no state named '", slot, "'");
  require(!average_->swapped(), "the average stands in place of the weights; swap it back first");
  return average_->started(model_.parameters().weights);
}

void Trainer::read_slot(std::string_view slot, const ParameterSpec& spec, std::span<float> out) {
  check_size(spec, out.size());
  slot_arena(slot, spec).read(out.data(), spec, *backend_);
}

void Trainer::write_slot(std::string_view slot, const ParameterSpec& spec,
                         std::span<const float> in) {
  check_size(spec, in.size());
  if (!std::all_of(in.begin(), in.end(), [](float x) { return std::isfinite(x); })) {
    fail(code::kNotFinite, slot, " of ", spec.name, " holds a value that is not finite");
  }
  slot_arena(slot, spec).write(in.data(), spec, *backend_);
}

void Trainer::swap_average() {
  require(average_.has_value(), "the trainer keeps no average of the weights: emaDecay is 0");
  average_->swap(model_.parameters().weights);
}

}  // namespace countenance
