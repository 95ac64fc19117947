#include <algorithm>
#include <cmath>
#include <limits>

#include "op_cases.h"

namespace countenance::test {

namespace {

const std::vector<int64_t> kSizes = {1, 15, 16, 17, 1000, 70003};

}  // namespace

// What the tensors of a refused step hold: the values they had.
constexpr float kRefused = std::numeric_limits<float>::quiet_NaN();

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
    // The scale for a gradient that holds `odd`, a loss, and the scale of the step before.
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
    CHECK(std::isnan(scale_of(kRefused, 1, 1)), tested.name);
    CHECK(std::isnan(scale_of(kInfinity, 1, 1)), tested.name);
    CHECK(std::isnan(scale_of(1, kRefused, 1)), tested.name);
    CHECK(std::isnan(scale_of(1, -kInfinity, 1)), tested.name);
    CHECK(std::isnan(scale_of(1, 1, kRefused)), tested.name, ": behind a refused step");
  }
}

OP_CASES(restore_refused, "restore_refused") {
  for (int64_t n : kSizes) {
    for (float scale : {0.5f, kRefused}) {
      OpCase c(text("n=", n, std::isnan(scale) ? " refused" : " taken"));
      c.constant("state", {n}, normal(n, "state"));
      c.constant("saved", {n}, normal(n, "saved"));
      c.constant("gradient_scale", {1}, {scale});
      c.output("state", {n});
      c.forward = [](Backend& b, OpTensors& t) {
        b.restore_refused(t["state"], t["saved"], t["gradient_scale"]);
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
    for (int variant = 0; variant < 5; ++variant) {
      const bool nesterov = variant == 1;
      const bool has_velocity = variant != 2;
      const bool has_scale = variant != 3;
      const bool is_refused = variant == 4;
      const float rate = 0.1f;
      const SgdAttributes attributes{has_velocity ? 0.9f : 0.0f, 5e-4f, nesterov};
      OpCase c(text("n=", n, " variant ", variant));
      c.constant("weights", {n}, normal(n, "weights"));
      c.constant("velocity", {n}, normal(n, "velocity"));
      c.constant("gradients", {n}, normal(n, "gradients"));
      c.constant("gradient_scale", {1}, {is_refused ? kRefused : 0.25f});
      c.constant("rates", {1}, {rate});
      c.output("weights", {n});
      c.output("velocity", {n});
      c.forward = [=](Backend& b, OpTensors& t) {
        b.sgd_step(t["weights"], has_velocity ? t["velocity"] : Tensor{}, t["gradients"],
                   has_scale ? t["gradient_scale"] : Tensor{}, t["rates"], attributes);
      };
      c.reference = [=](OpValues& v) {
        if (is_refused) return;
        for (size_t i = 0; i < v["weights"].size(); ++i) {
          double& w = v["weights"][i];
          double step = v["gradients"][i] * (has_scale ? 0.25 : 1) + attributes.weight_decay * w;
          if (has_velocity) {
            const double gradient = step;
            step = v["velocity"][i] = attributes.momentum * v["velocity"][i] + gradient;
            if (nesterov) step = gradient + attributes.momentum * step;
          }
          w -= static_cast<double>(rate) * step;
        }
      };
      run_case(c);
    }
  }
}

OP_CASES(adamw_step, "adamw_step") {
  for (int64_t n : kSizes) {
    for (int64_t step : {0, 1, 2, 1000}) {  // 0: a refused one
      const double lr = 1e-3, decay = 0.01;
      const AdamWAttributes a{0.9f, 0.999f, 1e-8f};
      const double t = static_cast<double>(std::max<int64_t>(step, 1));
      std::vector<float> rates(kAdamWRates);
      rates[kAdamWRate] = static_cast<float>(lr / (1 - std::pow(static_cast<double>(a.beta1), t)));
      rates[kAdamWKeep] = static_cast<float>(1 - lr * decay);
      rates[kAdamWRootFactor] =
          static_cast<float>(1 / std::sqrt(1 - std::pow(static_cast<double>(a.beta2), t)));
      OpCase c(text("n=", n, " step ", step));
      c.constant("weights", {n}, normal(n, "weights"));
      c.constant("first", {n}, normal(n, "first"));
      c.constant("second", {n}, uniform(n, 0.01, 1, "second"));
      c.constant("gradients", {n}, normal(n, "gradients"));
      c.constant("gradient_scale", {1}, {step == 0 ? kRefused : 0.25f});
      c.constant("rates", {kAdamWRates}, rates);
      for (const char* name : {"weights", "first", "second"}) c.output(name, {n});
      c.forward = [=](Backend& b, OpTensors& tensors) {
        b.adamw_step(tensors["weights"], tensors["first"], tensors["second"], tensors["gradients"],
                     step == 2 ? Tensor{} : tensors["gradient_scale"], tensors["rates"], a);
      };
      c.reference = [=](OpValues& v) {
        if (step == 0) return;
        const double correction1 = 1 - std::pow(static_cast<double>(a.beta1), t);
        const double correction2 = 1 - std::pow(static_cast<double>(a.beta2), t);
        for (size_t i = 0; i < v["weights"].size(); ++i) {
          const double g = v["gradients"][i] * (step == 2 ? 1 : 0.25);
          double& w = v["weights"][i];
          double& m = v["first"][i];
          double& s = v["second"][i];
          w *= 1 - lr * decay;
          m = a.beta1 * m + (1 - a.beta1) * g;
          s = a.beta2 * s + (1 - a.beta2) * g * g;
          const double denominator = std::sqrt(s) / std::sqrt(correction2) + a.eps;
          w -= lr / correction1 * m / denominator;
        }
      };
      run_case(c);
    }
  }
}

OP_CASES(ema_update, "ema_update") {
  for (int64_t n : kSizes) {
    for (float decay : {0.0f, 0.9f, 0.9999f}) {
      for (float scale : {1.0f, kRefused}) {
        OpCase c(text("n=", n, " decay ", decay, std::isnan(scale) ? " refused" : ""));
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
