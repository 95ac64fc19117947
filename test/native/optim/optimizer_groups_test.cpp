#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "harness/harness.h"
#include "harness/json.h"
#include "optim/rules.h"
#include "train/train_fixture.h"

using namespace countenance;
using namespace countenance::test;

namespace {

// The tensors of test/fixtures/make_optimizer_fixtures.py, with a statistic in between that belongs
// to no group.
struct Tensors {
  Tensors() : backend(make_cpu_backend(2)), table(*backend) {
    declare("a", Shape{33, 17}, ParameterKind::Matrix);
    declare("statistic", Shape{40}, ParameterKind::Statistic);
    declare("b", Shape{7}, ParameterKind::Vector);
    declare("c", Shape{19, 5, 3, 3}, ParameterKind::Matrix);
    table.freeze();
  }

  void declare(const char* name, const Shape& shape, ParameterKind kind) {
    table.declare(name, shape, kind, Initializer::zeros());
  }

  // The script's formula; step 0: weights, others: gradients.
  void fill(ParameterArena& arena, int64_t step) {
    int64_t tensor = 0;
    for (const ParameterSpec& spec : table.specs()) {
      if (!spec.trainable()) continue;
      std::vector<float> values(static_cast<size_t>(spec.shape.elements()));
      for (size_t i = 0; i < values.size(); ++i) {
        const int64_t mixed = (static_cast<int64_t>(i) * 37 + tensor * 11 + step * 101) % 64;
        values[i] = (static_cast<float>(mixed) - 31.5f) / 32;
      }
      arena.write(values.data(), spec, *backend);
      ++tensor;
    }
  }

  std::vector<float> read(const ParameterArena& arena, const char* name) {
    const ParameterSpec& spec = table[table.find(name)];
    std::vector<float> values(static_cast<size_t>(spec.shape.elements()));
    arena.read(values.data(), spec, *backend);
    return values;
  }

  std::shared_ptr<Backend> backend;
  ParameterTable table;
};

const std::vector<uint8_t> kGroupOf = {0, 77, 1, 2};  // 77: the statistic's, ignored

// The weights after steps with the script's gradients, at these learning rates.
std::vector<std::vector<float>> train(const OptimizerOptions& options,
                                      const std::vector<float>& learning_rates) {
  Tensors tensors;
  ParameterArena weights(*tensors.backend, tensors.table);
  ParameterArena gradients(*tensors.backend, tensors.table);
  tensors.fill(weights, 0);
  const auto optimizer = make_optimizer(*tensors.backend, tensors.table, options);
  int64_t step = 0;
  for (float learning_rate : learning_rates) {
    tensors.fill(gradients, ++step);
    optimizer->prepare(learning_rate, step);
    optimizer->measure(gradients, {});
    optimizer->update(weights, gradients);
  }
  return {tensors.read(weights, "a"), tensors.read(weights, "b"), tensors.read(weights, "c")};
}

}  // namespace

TEST(optimizer_groups_equal_those_of_torch) {
  const Json fixtures = load_json(test_path("fixtures/optimizer_groups.json"));
  std::vector<float> learning_rates;
  for (const Json& rate : fixtures["learningRates"].array()) {
    learning_rates.push_back(static_cast<float>(rate.number()));
  }
  CHECK(fixtures["cases"].array().size() == 5);
  for (const Json& c : fixtures["cases"].array()) {
    OptimizerOptions options;
    options.name = find_optimizer(c["kind"].string()).name;
    if (options.name == "sgd") {
      options.settings.emplace("momentum", static_cast<float>(c["momentum"].number()));
      options.settings.emplace("nesterov", c["nesterov"].boolean() ? 1.0f : 0.0f);
    } else {
      options.settings.emplace(
          "betas", OptionValue(static_cast<float>(fixtures["betas"].array()[0].number()),
                               static_cast<float>(fixtures["betas"].array()[1].number())));
    }
    options.weight_decay = 100;  // not used with groups
    options.group_of = kGroupOf;
    for (size_t i = 0; i < 3; ++i) {
      options.groups.push_back(
          {.learning_rate_scale = static_cast<float>(fixtures["scales"].array()[i].number()),
           .weight_decay = static_cast<float>(c["decays"].array()[i].number())});
    }
    const auto weights = train(options, learning_rates);
    for (size_t tensor = 0; tensor < weights.size(); ++tensor) {
      const auto& expected = c["weights"].array()[tensor].array();
      CHECK(!expected.empty());
      for (size_t i = 0; i < expected.size(); ++i) {
        // Five updates of numbers up to 1, each a few roundings of float32 (6e-8).
        const double error =
            std::abs(static_cast<double>(weights[tensor][i]) - expected[i].number());
        CHECK(error < 2e-6, c["kind"].string(), ", tensor ", tensor, ", ", i, ": ", error);
      }
    }
  }
}

TEST(optimizer_groups_that_are_equal_give_the_bits_of_none) {
  const std::vector<float> rates = {0.1f, 0.05f, 0.01f};
  for (const OptimizerRule* rule : optimizer_rules()) {
    const OptimizerOptions plain{.name = rule->name, .weight_decay = 0.01f};
    OptimizerOptions grouped = plain;
    grouped.groups.assign(3, {.weight_decay = 0.01f});
    grouped.group_of = kGroupOf;
    OptimizerOptions one = plain;
    one.groups.assign(1, {.weight_decay = 0.01f});
    one.group_of.assign(4, 0);
    CHECK(train(plain, rates) == train(grouped, rates));
    CHECK(train(plain, rates) == train(one, rates));
    grouped.groups[1].learning_rate_scale = 0.5f;
    const auto all = train(plain, rates), other = train(grouped, rates);
    CHECK(all[0] == other[0] && all[1] != other[1] && all[2] == other[2]);
  }
}

TEST(optimizer_groups_are_checked) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const auto refused = [](const std::function<void(OptimizerOptions&)>& spoil, const char* part) {
    Tensors tensors;
    OptimizerOptions options;
    options.groups.resize(3);
    options.group_of = kGroupOf;
    spoil(options);
    try {
      make_optimizer(*tensors.backend, tensors.table, options);
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find(part) != std::string::npos, error.what());
      return;
    }
    CHECK(false, part, " was not refused");
  };
  refused([](auto& o) { o.groups[1].learning_rate_scale = -1; }, "learningRateScale");
  refused([](auto& o) { o.groups[1].learning_rate_scale = kNaN; }, "learningRateScale");
  refused([](auto& o) { o.groups[2].weight_decay = -0.5f; }, "weightDecay");
  refused([](auto& o) { o.group_of[3] = 3; }, "c but received 3");
  refused([](auto& o) { o.group_of.pop_back(); }, "4 tensors but received 3");
  refused([](auto& o) { o.groups.clear(); }, "0 tensors but received 4");
  refused([](auto& o) { o.groups.resize(257); }, "256");
}
