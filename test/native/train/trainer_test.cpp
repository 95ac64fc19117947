#include <cmath>
#include <limits>

#include "harness/harness.h"
#include "train/train_fixture.h"

using namespace countenance;
using namespace countenance::test;

namespace {

// Everything a step can change.
struct Snapshot {
  std::vector<float> state;
  std::vector<float> velocity;
  int64_t steps;
};

Snapshot snapshot(Training& t) { return {t.state(), t.slot("velocity"), t.trainer.step_count()}; }

bool same(const Snapshot& a, const Snapshot& b) {
  return same_bits(a.state, b.state) && same_bits(a.velocity, b.velocity) && a.steps == b.steps;
}

// The losses of steps with seeded batches.
std::vector<float> train(Training& t, int first, int last, int64_t batch = 4) {
  std::vector<float> losses;
  for (int step = first; step < last; ++step) {
    const BatchData data(batch, t.model.config().input_size, static_cast<uint64_t>(step));
    const StepResult result = t.trainer.step(data.train());
    losses.insert(losses.end(), {result.loss, result.gradient_norm});
    losses.insert(losses.end(), result.terms.begin(), result.terms.end());
  }
  return losses;
}

// Sets a flag when a chosen op has run.
class CancelAfter final : public RunObserver {
 public:
  CancelAfter(int node, bool backward) : node_(node), backward_(backward) {}
  void ran(const Graph&, int node, bool backward, double) override {
    nodes = std::max(nodes, node + 1);
    if (node == node_ && backward == backward_) flag.store(true);
  }
  std::atomic<bool> flag{false};
  int nodes = 0;

 private:
  int node_;
  bool backward_;
};

ModelConfig swin_config() {
  return {.backbone = "swin-t",
          .input_size = 112,
          .drop_path = 0.5f,
          .classes = kFixtureClasses,
          .neutral = 2};
}

}  // namespace

TEST(trainer_gives_the_same_bits_for_the_same_seed_and_other_ones_for_another) {
  Training a(tiny_config(), {.seed = 1});
  Training b(tiny_config(), {.seed = 1});
  Training c(tiny_config(), {.seed = 2});
  const auto losses = train(a, 0, 3);
  CHECK(same_bits(losses, train(b, 0, 3)));
  CHECK(same_bits(a.state(), b.state()));
  CHECK(!same_bits(losses, train(c, 0, 3)), "the augmentation does not depend on the seed");
}

TEST(trainer_gives_the_same_bits_for_any_number_of_threads) {
  Training one(tiny_config(), {}, 1);
  const auto losses = train(one, 0, 3);
  for (int threads : {2, 3}) {
    Training other(tiny_config(), {}, threads);
    CHECK(same_bits(losses, train(other, 0, 3)), threads, " threads");
    CHECK(same_bits(one.state(), other.state()), threads, " threads");
    CHECK(same_bits(one.slot("velocity"), other.slot("velocity")), threads, " threads");
  }
}

TEST(trainer_with_threads_of_its_own_gives_the_same_bits) {
  Training one(tiny_config(), {});
  Training other(tiny_config(), {});
  Trainer trainer(other.model, {}, make_cpu_backend(2));
  const BatchData data(4, 32, 5);
  one.trainer.step(data.train());
  trainer.step(data.train());
  CHECK(same_bits(one.state(), other.state()));
}

TEST(trainer_in_guard_mode_gives_the_same_bits) {
  for (const auto& options : {TrainOptions{}, TrainOptions{.objective = {{"contrast", 1.0f}}}}) {
    TrainOptions guarded = options;
    guarded.guard = true;
    Training planned(tiny_config(), options, 2);
    Training apart(tiny_config(), guarded, 2);
    CHECK(same_bits(train(planned, 0, 2), train(apart, 0, 2)));
    CHECK(same_bits(planned.state(), apart.state()));
    CHECK(same_bits(planned.gradients(), apart.gradients()));
  }
}

TEST(trainer_of_swin_gives_the_same_bits_in_guard_mode_and_with_threads) {
  Training planned(swin_config(), {.seed = 3}, 2);
  Training apart(swin_config(), {.seed = 3, .guard = true}, 1);
  CHECK(same_bits(train(planned, 0, 2, 2), train(apart, 0, 2, 2)));
  CHECK(same_bits(planned.state(), apart.state()));
}

TEST(trainer_keeps_results_apart_from_batch_sizes) {
  // A plan that was used, left and found again, or rebuilt, computes the same.
  Training a(tiny_config(), {});
  Training b(tiny_config(), {});
  const BatchData four(4, 32, 1);
  for (int64_t size : {3, 2, 5, 4}) {
    a.trainer.step(BatchData(size, 32, 9).train(0.0f));
    b.trainer.step(BatchData(size, 32, 9).train(0.0f));
    b.trainer.step(BatchData(6, 32, 9).train(0.0f));
    a.trainer.step(BatchData(6, 32, 9).train(0.0f));
  }
  a.trainer.set_step_count(0);
  b.trainer.set_step_count(0);
  a.trainer.step(four.train());
  b.trainer.step(BatchData(2, 32, 9).train(0.0f));
  b.copy_from(a);
  const StepResult of_a = a.trainer.step(four.train());
  const StepResult of_b = b.trainer.step(four.train());
  CHECK(of_a.loss == of_b.loss, of_a.loss, " ", of_b.loss);
  CHECK(same_bits(a.state(), b.state()));
}

TEST(trainer_resumes_with_the_same_bits) {
  const OptimizerOptions adamw{.name = "adamw", .weight_decay = 0.05f};
  const OptimizerOptions sgd{
      .settings = {{"nesterov", 1.0f}}, .weight_decay = 5e-4f, .max_gradient_norm = 1.0f};
  for (const OptimizerOptions& optimizer : {adamw, sgd}) {
    const TrainOptions options{.optimizer = optimizer, .ema_decay = 0.9f, .seed = 4};
    Training straight(tiny_config(), options);
    train(straight, 0, 4);
    Training first(tiny_config(), options);
    train(first, 0, 2);
    ModelConfig other_start = tiny_config();
    other_start.seed = 99;
    Training resumed(other_start, options);
    resumed.copy_from(first);
    train(resumed, 2, 4);
    CHECK(same_bits(straight.state(), resumed.state()));
    CHECK(straight.trainer.step_count() == 4 && resumed.trainer.step_count() == 4);
    for (const std::string& name : straight.trainer.slots()) {
      CHECK(same_bits(straight.slot(name), resumed.slot(name)), name);
    }
  }
}

TEST(trainer_aborted_anywhere_leaves_everything_as_before) {
  Training t(tiny_config(), {});
  Training untouched(tiny_config(), {});
  train(t, 0, 1);
  train(untouched, 0, 1);
  const Snapshot before = snapshot(t);
  const BatchData data(4, 32, 1);

  const std::atomic<bool> at_once{true};
  CHECK(error_code([&] { t.trainer.step(data.train(), &at_once); }) == code::kAborted);
  CHECK(same(before, snapshot(t)), "aborted before the first op");

  CancelAfter counter(-1, false);
  Training(tiny_config(), {}).trainer.step(data.train(), &counter.flag, &counter);
  CHECK(counter.nodes > 20, counter.nodes);
  for (bool backward : {false, true}) {
    for (int node : {1, counter.nodes / 2, counter.nodes - 1}) {
      CancelAfter cancel(node, backward);
      CHECK(error_code([&] { t.trainer.step(data.train(), &cancel.flag, &cancel); }) ==
            code::kAborted);
      CHECK(same(before, snapshot(t)), "aborted after op ", node, backward ? " backward" : "");
      CHECK(error_code([&] { t.gradients(); }) == code::kInvalidArgument);
    }
  }
  // After the last op the step is complete.
  CancelAfter late(0, true);
  t.trainer.step(data.train(), &late.flag, &late);
  untouched.trainer.step(data.train());
  CHECK(late.flag.load());
  CHECK(same(snapshot(untouched), snapshot(t)));
}

TEST(trainer_that_diverges_says_so_and_keeps_the_last_good_weights) {
  Training t(tiny_config(), {});
  const BatchData data(4, 32, 1);
  t.trainer.step(data.train(1e20f));
  const Snapshot before = snapshot(t);
  CHECK(error_code([&] { t.trainer.step(data.train()); }) == code::kNotFinite);
  CHECK(same(before, snapshot(t)));
}

TEST(trainer_skips_the_step_in_flight_behind_one_that_diverged) {
  Training t(tiny_config(), {.ema_decay = 0.9f});
  const BatchData data(4, 32, 1);
  t.trainer.step(data.train(1e20f));
  const Snapshot before = snapshot(t);
  const auto average = t.slot("average");
  t.trainer.begin(data.train());
  t.trainer.begin(data.train(0.02f));
  CHECK(error_code([&] { t.trainer.begin(data.train()); }) == code::kInternal, "a third one");
  CHECK(error_code([&] { t.trainer.finish(); }) == code::kNotFinite);
  CHECK(error_code([&] { t.trainer.finish(); }) == code::kAborted);
  CHECK(same(before, snapshot(t)) && same_bits(average, t.slot("average")));
  CHECK(error_code([&] { t.trainer.finish(); }) == code::kInternal, "nothing is left to finish");
}

TEST(trainer_keeps_two_steps_in_flight_with_the_same_bits) {
  Training one(tiny_config(), {});
  Training other(tiny_config(), {});
  const auto losses = train(one, 0, 4);
  std::vector<float> ahead;
  const auto finish = [&] {
    const StepResult result = other.trainer.finish();
    ahead.insert(ahead.end(), {result.loss, result.gradient_norm});
    ahead.insert(ahead.end(), result.terms.begin(), result.terms.end());
  };
  for (int step = 0; step < 4; ++step) {
    other.trainer.begin(BatchData(4, 32, static_cast<uint64_t>(step)).train());
    if (step > 0) finish();
  }
  finish();
  CHECK(same_bits(losses, ahead) && same_bits(one.state(), other.state()));
}

TEST(trainer_averages_the_weights) {
  constexpr double kDecay = 0.75;
  Training t(tiny_config(), {.ema_decay = static_cast<float>(kDecay)});
  const auto weights = [&] {
    std::vector<float> all;
    for (const ParameterSpec& spec : t.model.table().specs()) {
      if (!spec.trainable()) continue;
      std::vector<float> values(static_cast<size_t>(spec.shape.elements()));
      t.model.read(spec, values);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  std::vector<double> expected;
  for (float w : weights()) expected.push_back(w);
  for (int step = 0; step < 3; ++step) {
    train(t, step, step + 1);
    const auto now = weights();
    for (size_t i = 0; i < now.size(); ++i) {
      expected[i] = kDecay * expected[i] + (1 - kDecay) * static_cast<double>(now[i]);
    }
  }
  const std::vector<float> reference(expected.begin(), expected.end());
  const auto average = t.slot("average");
  // Three roundings to float32 against one.
  CHECK(normalised_error(average.data(), reference.data(), static_cast<int64_t>(average.size())) <
        2e-7);

  const auto raw = weights();
  CHECK(!same_bits(raw, average));
  t.trainer.swap_average();
  CHECK(same_bits(weights(), average));
  CHECK(error_code([&] { train(t, 3, 4); }) == code::kInvalidArgument);
  CHECK(error_code([&] { t.slot("average"); }) == code::kInvalidArgument);
  t.trainer.swap_average();
  CHECK(same_bits(weights(), raw));
  CHECK(same_bits(t.slot("average"), average));
  Training without(tiny_config(), {});
  CHECK(error_code([&] { without.trainer.swap_average(); }) == code::kInvalidArgument);
  CHECK(error_code([&] { without.slot("average"); }) == code::kInvalidArgument);
}

TEST(trainer_clips_the_gradient_it_reports_unclipped) {
  // Plain SGD: the weights move by lr times the clipped gradient.
  const OptimizerOptions plain{.settings = {{"momentum", 0.0f}}, .max_gradient_norm = 0.01f};
  Training t(tiny_config(), {.optimizer = plain});
  const auto before = t.state();
  const BatchData data(4, 32, 1);
  const StepResult result = t.trainer.step(data.train(1.0f));
  double gradient = 0;
  for (float g : t.gradients()) gradient += static_cast<double>(g) * static_cast<double>(g);
  CHECK(result.gradient_norm > 0.02f, "the test needs a gradient that is clipped");
  CHECK(std::abs(std::sqrt(gradient) / static_cast<double>(result.gradient_norm) - 1) < 1e-5);
  double moved = 0;
  size_t i = 0;
  const auto after = t.state();
  for (const ParameterSpec& spec : t.model.table().specs()) {
    for (int64_t n = 0; n < spec.shape.elements(); ++n, ++i) {
      const double step = static_cast<double>(after[i]) - static_cast<double>(before[i]);
      if (spec.trainable()) moved += step * step;
    }
  }
  // float32 weights of size 0.01 to 1 cannot move by exactly 1e-6.
  CHECK(std::abs(std::sqrt(moved) / 0.01 - 1) < 1e-2, std::sqrt(moved));
}

TEST(trainer_refuses_bad_batches) {
  Training t(tiny_config(), {});
  const BatchData data(4, 32, 1);
  const auto code_of = [&](const std::function<void(TrainBatch&)>& spoil) {
    TrainBatch batch = data.train();
    spoil(batch);
    return error_code([&] { t.trainer.step(batch); });
  };
  const Snapshot before = snapshot(t);
  CHECK(code_of([](TrainBatch& b) { b.images.size = 0; }) == code::kInvalidArgument);
  CHECK(code_of([](TrainBatch& b) { b.images.size = -4; }) == code::kInvalidArgument);
  CHECK(code_of([](TrainBatch& b) { b.images.size = kMaxBatch + 1; }) == code::kBatchTooLarge);
  CHECK(code_of([](TrainBatch& b) { b.images.size = 3; }) == code::kShapeMismatch);
  CHECK(code_of([](TrainBatch& b) { b.images.pixels = {}; }) == code::kShapeMismatch);
  CHECK(code_of([](TrainBatch& b) { b.targets = b.targets.first(19); }) == code::kShapeMismatch);
  CHECK(code_of([](TrainBatch& b) { b.samples = b.samples.first(3); }) == code::kShapeMismatch);
  CHECK(code_of([](TrainBatch& b) { b.learning_rate = -1; }) == code::kInvalidArgument);
  CHECK(code_of([](TrainBatch& b) { b.learning_rate = NAN; }) == code::kInvalidArgument);

  for (float bad : {NAN, std::numeric_limits<float>::infinity(), -0.5f, 0.1f}) {
    std::vector<float> targets = data.targets;
    targets[7] = bad;
    CHECK(code_of([&](TrainBatch& b) { b.targets = targets; }) == code::kLabelRange, bad);
  }
  std::vector<float> floats(data.pixels.size(), 0.5f);
  CHECK(code_of([&](TrainBatch& b) {
          b.images = {4, {}, floats};
        }) == code::kInvalidArgument,
        "float images cannot be augmented");
  floats[floats.size() - 1] = NAN;
  CHECK(code_of([&](TrainBatch& b) {
          b.images = {4, {}, floats};
          b.augment = false;
        }) == code::kNotFinite);
  CHECK(same(before, snapshot(t)));
  CHECK(error_code([&] { t.gradients(); }) == code::kInvalidArgument, "no step went through");
  CHECK(error_code([&] { t.slot("no such slot"); }) == code::kInvalidArgument);
  CHECK(error_code([&] { t.trainer.set_step_count(-1); }) == code::kInvalidArgument);
}

TEST(trainer_refuses_bad_options) {
  const auto code_of = [&](const TrainOptions& options) {
    return error_code([&] { Training(tiny_config(), options); });
  };
  CHECK(code_of({.precision = Precision::BF16}) == code::kUnsupported);
  CHECK(code_of({.ema_decay = 1.0f}) == code::kInvalidArgument);
  CHECK(code_of({.ema_decay = -0.1f}) == code::kInvalidArgument);
  CHECK(code_of({.loss_weights = {{"supervised", NAN}}}) == code::kInvalidArgument);
  CHECK(code_of({.loss_weights = {{"contrast", -1.0f}}}) == code::kInvalidArgument);
  CHECK(code_of({.optimizer = {.settings = {{"momentum", 1.0f}}}}) == code::kInvalidArgument);
  CHECK(code_of({.optimizer = {.settings = {{"momentum", 0.0f}, {"nesterov", 1.0f}}}}) ==
        code::kInvalidArgument);
  CHECK(code_of({.optimizer = {.name = "adamw", .settings = {{"betas", {0.9f, NAN}}}}}) ==
        code::kInvalidArgument);
  CHECK(code_of({.optimizer = {.name = "adamw", .settings = {{"eps", 0.0f}}}}) ==
        code::kInvalidArgument);
  CHECK(code_of({.optimizer = {.name = "adam"}}) == code::kInvalidArgument);
  CHECK(code_of({.optimizer = {.settings = {{"eps", 1.0f}}}}) == code::kInvalidArgument);
  CHECK(code_of({.objective = {{"contrast", 2.0f}}}) == code::kInvalidArgument);
  CHECK(code_of({.optimizer = {.weight_decay = -1.0f}}) == code::kInvalidArgument);
  CHECK(code_of({.optimizer = {.max_gradient_norm = -1.0f}}) == code::kInvalidArgument);
}
