#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/op_cases.h"

namespace countenance::test {

namespace {

const std::vector<int64_t> kSizes = {1, 15, 16, 17, 1000, 70003};

// Groups of the parameters in an arena of n elements: none, one that changes with each run, and one
// of long stretches that end in the middle of the loops' pieces.
constexpr int kGroups = 3;
enum class Grouping : uint8_t { None, Mixed, Stretches };

// The group of element i.
int group_of(Grouping grouping, int64_t i) {
  if (grouping == Grouping::None) return 0;
  const int64_t run = i / kGroupElements;
  return static_cast<int>(grouping == Grouping::Mixed ? run % kGroups : run / 1000 % kGroups);
}

// The inputs `groups` and `rates`; rates: a row for each of kGroups.
void add_groups(OpCase& c, Grouping grouping, int64_t n, const std::vector<float>& rates) {
  const int64_t runs = (n + kGroupElements - 1) / kGroupElements;
  std::vector<float> groups;
  for (int64_t run = 0; run < runs; ++run) {
    groups.push_back(static_cast<float>(group_of(grouping, run * kGroupElements)));
  }
  c.constant("groups", {runs}, groups).dtype = DType::U8;
  c.constant("rates", {kGroups, static_cast<int64_t>(rates.size()) / kGroups}, rates);
}

Tensor groups_of(const OpTensors& tensors, Grouping grouping) {
  return grouping == Grouping::None ? Tensor{} : tensors["groups"];
}

}  // namespace

// Marks a skipped step, whose tensors keep their values.
constexpr float kSkipped = std::numeric_limits<float>::quiet_NaN();

OP_CASES(clip_gradient, "clip_gradient") {
  for (int64_t n : kSizes) {
    for (float max_norm : {0.0f, 0.5f, 1e6f}) {
      for (bool has_loss : {false, true}) {
        OpCase c(text("n=", n, " max_norm ", max_norm, has_loss ? " with a loss" : ""));
        c.constant("gradients", {n}, normal(n, c.name));
        c.constant("loss", {1}, {3.0f});
        c.constant("gradient_scale", {1}, {0.0f});
        c.output("gradient_scale", {1});
        c.output("norm", {1});
        c.workspace = [n](Backend& b) { return b.clip_workspace(n); };
        c.forward = [=](Backend& b, OpTensors& t) {
          b.clip_gradient(t["gradient_scale"], t["norm"], t["gradients"],
                          has_loss ? t["loss"] : Tensor{}, max_norm, t.workspace);
        };
        c.reference = [=](OpValues& v) {
          double square = 0;
          for (double g : v["gradients"]) square += g * g;
          v["norm"][0] = std::sqrt(square);
          const double scale = max_norm / (v["norm"][0] + 1e-6);
          v["gradient_scale"][0] = max_norm > 0 ? std::min(1.0, scale) : 1.0;
        };
        run_case(c);
      }
    }
  }
}

TEST(clip_gradient_refuses_what_is_not_finite) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const TestedBackend& tested : tested_backends()) {
    const std::unique_ptr<Backend> backend = tested.make(2);
    const int64_t n = 1000;
    const auto memory = [&](size_t bytes) { return backend->allocate(std::max<size_t>(bytes, 4)); };
    const auto gradients = memory(n * 4), loss = memory(4), scale = memory(4), norm = memory(4),
               workspace = memory(backend->clip_workspace(n));
    const auto floats = [](const std::unique_ptr<DeviceBlock>& block, int64_t count) {
      return tensor_of(static_cast<float*>(block->data()), {count});
    };
    // The scale for a gradient that contains `odd`, a loss, and the scale of the step before.
    const auto scale_of = [&](float odd, float loss_value, float before) {
      std::vector<float> values = normal(n);
      values[777] = odd;
      backend->copy_in(floats(gradients, n), values.data());
      backend->copy_in(floats(loss, 1), &loss_value);
      backend->copy_in(floats(scale, 1), &before);
      backend->clip_gradient(
          floats(scale, 1), floats(norm, 1), floats(gradients, n), floats(loss, 1), 0.0f,
          floats(workspace, static_cast<int64_t>(backend->clip_workspace(n) / sizeof(float))));
      float result = 0;
      backend->copy_out(&result, floats(scale, 1));
      return result;
    };
    CHECK(scale_of(1, 1, 0.5f) == 1, tested.name);
    CHECK(std::isnan(scale_of(kSkipped, 1, 1)), tested.name);
    CHECK(std::isnan(scale_of(kInfinity, 1, 1)), tested.name);
    CHECK(std::isnan(scale_of(1, kSkipped, 1)), tested.name);
    CHECK(std::isnan(scale_of(1, -kInfinity, 1)), tested.name);
    CHECK(std::isnan(scale_of(1, 1, kSkipped)), tested.name, ": behind a skipped step");
  }
}

OP_CASES(restore_skipped, "restore_skipped") {
  for (int64_t n : kSizes) {
    for (float scale : {0.5f, kSkipped}) {
      OpCase c(text("n=", n, std::isnan(scale) ? " skipped" : " taken"));
      c.constant("state", {n}, normal(n, "state"));
      c.constant("saved", {n}, normal(n, "saved"));
      c.constant("gradient_scale", {1}, {scale});
      c.output("state", {n});
      c.forward = [](Backend& b, OpTensors& t) {
        b.restore_skipped(t["state"], t["saved"], t["gradient_scale"]);
      };
      c.reference = [=](OpValues& v) {
        if (std::isnan(scale)) v["state"] = v["saved"];
      };
      run_case(c);
    }
  }
}

OP_CASES(sgd_step, "sgd_step") {
  for (int64_t n : kSizes) {
    for (int variant = 0; variant < 7; ++variant) {
      const bool nesterov = variant == 1;
      const bool has_velocity = variant != 2;
      const bool has_scale = variant != 3;
      const bool is_skipped = variant == 4;
      const Grouping grouping = variant < 5    ? Grouping::None
                                : variant == 5 ? Grouping::Mixed
                                               : Grouping::Stretches;
      const std::vector<float> rates = {0.1f, 5e-4f, 0.0f, 0.02f, 1.0f, 0.0f};
      const SgdAttributes attributes{has_velocity ? 0.9f : 0.0f, nesterov};
      OpCase c(text("n=", n, " variant ", variant));
      c.constant("weights", {n}, normal(n, "weights"));
      c.constant("velocity", {n}, normal(n, "velocity"));
      c.constant("gradients", {n}, normal(n, "gradients"));
      c.constant("gradient_scale", {1}, {is_skipped ? kSkipped : 0.25f});
      add_groups(c, grouping, n, rates);
      c.output("weights", {n});
      c.output("velocity", {n});
      c.forward = [=](Backend& b, OpTensors& t) {
        b.sgd_step({.weights = t["weights"],
                    .gradients = t["gradients"],
                    .gradient_scale = has_scale ? t["gradient_scale"] : Tensor{},
                    .groups = groups_of(t, grouping),
                    .rates = t["rates"]},
                   has_velocity ? t["velocity"] : Tensor{}, attributes);
      };
      c.reference = [=](OpValues& v) {
        if (is_skipped) return;
        for (size_t i = 0; i < v["weights"].size(); ++i) {
          double& w = v["weights"][i];
          const size_t row =
              static_cast<size_t>(group_of(grouping, static_cast<int64_t>(i)) * kSgdRates);
          const double decay = v["rates"][row + kSgdDecay];
          double step = v["gradients"][i] * (has_scale ? 0.25 : 1) + decay * w;
          if (has_velocity) {
            const double gradient = step;
            step = v["velocity"][i] = attributes.momentum * v["velocity"][i] + gradient;
            if (nesterov) step = gradient + attributes.momentum * step;
          }
          w -= v["rates"][row + kSgdRate] * step;
        }
      };
      run_case(c);
    }
  }
}

OP_CASES(adamw_step, "adamw_step") {
  for (int64_t n : kSizes) {
    for (int64_t step : {0, 1, 2, 1000, 1001}) {  // 0: a skipped one
      const Grouping grouping = step == 1000   ? Grouping::Mixed
                                : step == 1001 ? Grouping::Stretches
                                               : Grouping::None;
      const std::vector<double> lrs = {1e-3, 0, 0.1}, decays = {0.01, 0.5, 0};
      const AdamWAttributes a{0.9f, 0.999f, 1e-8f};
      const double t = static_cast<double>(std::max<int64_t>(step, 1));
      const double correction1 = 1 - std::pow(static_cast<double>(a.beta1), t);
      const double correction2 = 1 - std::pow(static_cast<double>(a.beta2), t);
      std::vector<float> rates(kGroups * kAdamWRates);
      for (size_t group = 0; group < kGroups; ++group) {
        float* row = rates.data() + group * kAdamWRates;
        row[kAdamWRate] = static_cast<float>(lrs[group] / correction1);
        row[kAdamWKeep] = static_cast<float>(1 - lrs[group] * decays[group]);
        row[kAdamWRootFactor] = static_cast<float>(1 / std::sqrt(correction2));
      }
      OpCase c(text("n=", n, " step ", step));
      c.constant("weights", {n}, normal(n, "weights"));
      c.constant("first", {n}, normal(n, "first"));
      c.constant("second", {n}, uniform(n, 0.01, 1, "second"));
      c.constant("gradients", {n}, normal(n, "gradients"));
      c.constant("gradient_scale", {1}, {step == 0 ? kSkipped : 0.25f});
      add_groups(c, grouping, n, rates);
      for (const char* name : {"weights", "first", "second"}) c.output(name, {n});
      c.forward = [=](Backend& b, OpTensors& tensors) {
        b.adamw_step({.weights = tensors["weights"],
                      .gradients = tensors["gradients"],
                      .gradient_scale = step == 2 ? Tensor{} : tensors["gradient_scale"],
                      .groups = groups_of(tensors, grouping),
                      .rates = tensors["rates"]},
                     tensors["first"], tensors["second"], a);
      };
      c.reference = [=](OpValues& v) {
        if (step == 0) return;
        for (size_t i = 0; i < v["weights"].size(); ++i) {
          const double g = v["gradients"][i] * (step == 2 ? 1 : 0.25);
          double& w = v["weights"][i];
          double& m = v["first"][i];
          double& s = v["second"][i];
          const size_t group = static_cast<size_t>(group_of(grouping, static_cast<int64_t>(i)));
          w *= 1 - lrs[group] * decays[group];
          m = a.beta1 * m + (1 - a.beta1) * g;
          s = a.beta2 * s + (1 - a.beta2) * g * g;
          const double denominator = std::sqrt(s) / std::sqrt(correction2) + a.eps;
          w -= lrs[group] / correction1 * m / denominator;
        }
      };
      run_case(c);
    }
  }
}

OP_CASES(lion_step, "lion_step") {
  for (int64_t n : kSizes) {
    for (int variant = 0; variant < 5; ++variant) {
      const bool has_scale = variant != 1;
      const bool is_skipped = variant == 2;
      const Grouping grouping = variant == 3   ? Grouping::Mixed
                                : variant == 4 ? Grouping::Stretches
                                               : Grouping::None;
      const std::vector<float> rates = {0.1f, 0.99f, 0.0f, 1.0f, 1.0f, 0.5f};
      const LionAttributes attributes{0.9f, 0.99f};
      OpCase c(text("n=", n, " variant ", variant));
      c.constant("weights", {n}, normal(n, "weights"));
      c.constant("momentum", {n}, normal(n, "momentum"));
      c.constant("gradients", {n}, normal(n, "gradients"));
      c.constant("gradient_scale", {1}, {is_skipped ? kSkipped : 0.25f});
      add_groups(c, grouping, n, rates);
      c.output("weights", {n});
      c.output("momentum", {n});
      c.forward = [=](Backend& b, OpTensors& t) {
        b.lion_step({.weights = t["weights"],
                     .gradients = t["gradients"],
                     .gradient_scale = has_scale ? t["gradient_scale"] : Tensor{},
                     .groups = groups_of(t, grouping),
                     .rates = t["rates"]},
                    t["momentum"], attributes);
      };
      c.reference = [=](OpValues& v) {
        if (is_skipped) return;
        for (size_t i = 0; i < v["weights"].size(); ++i) {
          const size_t row =
              static_cast<size_t>(group_of(grouping, static_cast<int64_t>(i)) * kLionRates);
          const double g = v["gradients"][i] * (has_scale ? 0.25 : 1);
          double& m = v["momentum"][i];
          const double blend = attributes.beta1 * m + (1 - attributes.beta1) * g;
          const double direction = blend > 0 ? 1 : blend < 0 ? -1 : 0;
          v["weights"][i] = v["rates"][row + kLionKeep] * v["weights"][i] -
                            v["rates"][row + kLionRate] * direction;
          m = attributes.beta2 * m + (1 - attributes.beta2) * g;
        }
      };
      run_case(c);
    }
  }
}

OP_CASES(ema_update, "ema_update") {
  for (int64_t n : kSizes) {
    for (float decay : {0.0f, 0.9f, 0.9999f}) {
      for (float scale : {1.0f, kSkipped}) {
        OpCase c(text("n=", n, " decay ", decay, std::isnan(scale) ? " skipped" : ""));
        c.constant("average", {n}, normal(n, "average"));
        c.constant("weights", {n}, normal(n, "weights"));
        c.constant("gradient_scale", {1}, {scale});
        c.output("average", {n});
        c.forward = [=](Backend& b, OpTensors& t) {
          b.ema_update(t["average"], t["weights"],
                       decay == 0.0f && !std::isnan(scale) ? Tensor{} : t["gradient_scale"], decay);
        };
        c.reference = [=](OpValues& v) {
          for (size_t i = 0; i < v["average"].size() && !std::isnan(scale); ++i) {
            v["average"][i] = decay * v["average"][i] + (1.0 - decay) * v["weights"][i];
          }
        };
        run_case(c);
      }
    }
  }
}

}  // namespace countenance::test
