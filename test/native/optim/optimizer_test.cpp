#include <cmath>

#include "core/philox.h"
#include "harness/harness.h"
#include "optim/rules.h"
#include "train/train_fixture.h"

using namespace countenance;
using namespace countenance::test;

namespace {

// A table whose parameters leave padding between them.
struct Arenas {
  Arenas() : backend(make_cpu_backend(2)), table(*backend) {
    table.declare("a", Shape{33, 17}, ParameterKind::Matrix, Initializer::zeros());
    table.declare("b", Shape{7}, ParameterKind::Vector, Initializer::zeros());
    table.declare("c", Shape{19, 5, 3, 3}, ParameterKind::Matrix, Initializer::zeros());
    table.freeze();
  }

  void draw(ParameterArena& arena, uint64_t seed, double scale) {
    for (const ParameterSpec& spec : table.specs()) {
      const RandomStream random(seed, hash_name(spec.name));
      std::vector<float> values(static_cast<size_t>(spec.shape.elements()));
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(scale * random.normal(i));
      }
      arena.write(values.data(), spec, *backend);
    }
  }

  std::shared_ptr<Backend> backend;
  ParameterTable table;
};

std::vector<double> as_double(const ParameterArena& arena) {
  const Tensor flat = arena.flat();
  return {flat.f32(), flat.f32() + flat.elements()};
}

// One element's state and the textbook's update of it.
struct Reference {
  std::vector<double> weights, first, second;

  void step(const OptimizerOptions& o, const std::vector<double>& gradients, double scale,
            double lr, int step) {
    for (size_t i = 0; i < weights.size(); ++i) {
      const double g = scale * gradients[i];
      double& w = weights[i];
      const OptionValues values(find_optimizer(o.name).options, o.settings);
      if (o.name == "sgd") {
        const double decayed = g + static_cast<double>(o.weight_decay) * w;
        const double momentum = static_cast<double>(values.number("momentum"));
        first[i] = momentum * first[i] + decayed;
        w -= lr * (values.is_on("nesterov") ? decayed + momentum * first[i] : first[i]);
      } else if (o.name == "lion") {
        const double beta1 = static_cast<double>(values.pair("betas").first);
        const double beta2 = static_cast<double>(values.pair("betas").second);
        const double blend = beta1 * first[i] + (1 - beta1) * g;
        w *= 1 - lr * static_cast<double>(o.weight_decay);
        w -= lr * (blend > 0 ? 1 : blend < 0 ? -1 : 0);
        first[i] = beta2 * first[i] + (1 - beta2) * g;
      } else {
        const double beta1 = static_cast<double>(values.pair("betas").first);
        const double beta2 = static_cast<double>(values.pair("betas").second);
        w *= 1 - lr * static_cast<double>(o.weight_decay);
        first[i] = beta1 * first[i] + (1 - beta1) * g;
        second[i] = beta2 * second[i] + (1 - beta2) * g * g;
        const double corrected = std::sqrt(second[i] / (1 - std::pow(beta2, step)));
        w -= lr * first[i] / (1 - std::pow(beta1, step)) /
             (corrected + static_cast<double>(values.number("eps")));
      }
    }
  }
};

void check_rule(const OptimizerOptions& options, const char* what) {
  constexpr float kRate = 0.05f;
  Arenas arenas;
  ParameterArena weights(*arenas.backend, arenas.table);
  ParameterArena gradients(*arenas.backend, arenas.table);
  arenas.draw(weights, 1, 1.0);
  const auto optimizer = make_optimizer(*arenas.backend, arenas.table, options);
  Reference reference{as_double(weights), {}, {}};
  reference.first.assign(reference.weights.size(), 0.0);
  reference.second.assign(reference.weights.size(), 0.0);
  for (int step = 1; step <= 4; ++step) {
    arenas.draw(gradients, static_cast<uint64_t>(10 + step), 0.3);
    const auto g = as_double(gradients);
    double norm = 0;
    for (double x : g) norm += x * x;
    norm = std::sqrt(norm);
    const double limit = static_cast<double>(options.max_gradient_norm);
    const double scale = limit == 0 ? 1 : std::min(1.0, limit / (norm + 1e-6));
    optimizer->prepare(kRate, step);
    optimizer->measure(gradients, {});
    const double measured = static_cast<double>(*optimizer->norm().f32());
    CHECK(std::abs(measured / norm - 1) < 1e-6, what, ": norm ", measured, " of ", norm);
    optimizer->update(weights, gradients);
    reference.step(options, g, scale, static_cast<double>(kRate), step);
  }
  const std::vector<float> expected(reference.weights.begin(), reference.weights.end());
  const float* received = weights.flat().f32();
  // Four updates, each a few roundings of float32 (6e-8).
  const double error =
      normalised_error(received, expected.data(), static_cast<int64_t>(expected.size()));
  CHECK(error < 1e-6, what, ": ", error);
  // The padding is whatever no parameter covers; the reference maps 0 to 0 there.
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] == 0.0f) CHECK(received[i] == 0.0f, what, ": padding ", i, " moved");
  }
}

}  // namespace

TEST(optimizers_follow_the_textbook) {
  check_rule({.settings = {{"momentum", 0.0f}}}, "sgd");
  check_rule({.settings = {{"momentum", 0.9f}}, .weight_decay = 0.01f}, "sgd, momentum");
  check_rule({.settings = {{"nesterov", 1.0f}}, .max_gradient_norm = 1.5f}, "sgd, nesterov");
  check_rule({.name = "adamw", .weight_decay = 0.1f}, "adamw");
  check_rule({.name = "adamw", .settings = {{"betas", {0.8f, 0.95f}}}, .max_gradient_norm = 2.0f},
             "adamw, clipped");
  check_rule({.name = "lion", .weight_decay = 0.1f}, "lion");
}

TEST(optimizers_have_the_slots_that_they_describe) {
  CHECK(find_optimizer("sgd").slots == std::vector<std::string_view>{"velocity"});
  CHECK((find_optimizer("adamw").slots ==
         std::vector<std::string_view>{"firstMoment", "secondMoment"}));
  CHECK(find_optimizer("lion").slots == std::vector<std::string_view>{"momentum"});
  for (const OptimizerRule* rule : optimizer_rules()) {
    Arenas arenas;
    const auto optimizer = make_optimizer(*arenas.backend, arenas.table, {.name = rule->name});
    std::vector<std::string_view> names;
    for (const Slot& slot : optimizer->slots()) names.push_back(slot.name);
    CHECK(names == rule->slots, rule->name);
  }
}

TEST(optimizers_refuse_steps_until_they_are_told_to_go_on) {
  CHECK(find_optimizer("lion").slots == std::vector<std::string_view>{"momentum"});
  for (const OptimizerRule* rule : optimizer_rules()) {
    Arenas arenas;
    ParameterArena weights(*arenas.backend, arenas.table);
    ParameterArena gradients(*arenas.backend, arenas.table);
    arenas.draw(weights, 1, 1.0);
    const auto optimizer = make_optimizer(*arenas.backend, arenas.table, {.name = rule->name});
    const auto before = as_double(weights);
    const auto step = [&](float bad) {
      arenas.draw(gradients, 2, 0.3);
      gradients.flat().f32()[40] += bad;
      optimizer->prepare(0.1f, 1);
      optimizer->measure(gradients, {});
      optimizer->update(weights, gradients);
    };
    step(NAN);
    CHECK(as_double(weights) == before, "the skipped step");
    step(0);
    CHECK(as_double(weights) == before, "the step behind it");
    for (Slot& slot : optimizer->slots()) {
      for (double x : as_double(slot.arena)) CHECK(x == 0, slot.name);
    }
    optimizer->accept();
    step(0);
    CHECK(as_double(weights) != before);
  }
}
