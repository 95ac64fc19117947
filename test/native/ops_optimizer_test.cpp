#include <cmath>

#include "op_cases.h"

namespace countenance::test {

namespace {

const std::vector<int64_t> kSizes = {1, 15, 16, 17, 1000, 70003};

}  // namespace

OP_CASES(clip_gradient, "clip_gradient") {
  for (int64_t n : kSizes) {
    for (float max_norm : {0.0f, 0.5f, 1e6f}) {
      OpCase c(text("n=", n, " max_norm ", max_norm));
      c.constant("gradients", {n}, normal(n, c.name));
      c.output("gradient_scale", {1});
      c.output("norm", {1});
      c.workspace = [n](Backend& b) { return b.clip_workspace(n); };
      c.forward = [=](Backend& b, OpTensors& t) {
        b.clip_gradient(t["gradient_scale"], t["norm"], t["gradients"], max_norm, t.workspace);
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

OP_CASES(sgd_step, "sgd_step") {
  for (int64_t n : kSizes) {
    for (int variant = 0; variant < 4; ++variant) {
      const bool nesterov = variant == 1;
      const bool has_velocity = variant != 2;
      const bool has_scale = variant != 3;
      const SgdAttributes attributes{0.1f, has_velocity ? 0.9f : 0.0f, 5e-4f, nesterov};
      OpCase c(text("n=", n, " variant ", variant));
      c.constant("weights", {n}, normal(n, "weights"));
      c.constant("velocity", {n}, normal(n, "velocity"));
      c.constant("gradients", {n}, normal(n, "gradients"));
      c.constant("gradient_scale", {1}, {0.25f});
      c.output("weights", {n});
      c.output("velocity", {n});
      c.forward = [=](Backend& b, OpTensors& t) {
        b.sgd_step(t["weights"], has_velocity ? t["velocity"] : Tensor{}, t["gradients"],
                   has_scale ? t["gradient_scale"] : Tensor{}, attributes);
      };
      c.reference = [=](OpValues& v) {
        for (size_t i = 0; i < v["weights"].size(); ++i) {
          double& w = v["weights"][i];
          double step = v["gradients"][i] * (has_scale ? 0.25 : 1) + attributes.weight_decay * w;
          if (has_velocity) {
            const double gradient = step;
            step = v["velocity"][i] = attributes.momentum * v["velocity"][i] + gradient;
            if (nesterov) step = gradient + attributes.momentum * step;
          }
          w -= attributes.learning_rate * step;
        }
      };
      run_case(c);
    }
  }
}

OP_CASES(adamw_step, "adamw_step") {
  for (int64_t n : kSizes) {
    for (int64_t step : {1, 2, 1000}) {
      const AdamWAttributes a{1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, step};
      OpCase c(text("n=", n, " step ", step));
      c.constant("weights", {n}, normal(n, "weights"));
      c.constant("first", {n}, normal(n, "first"));
      c.constant("second", {n}, uniform(n, 0.01, 1, "second"));
      c.constant("gradients", {n}, normal(n, "gradients"));
      c.constant("gradient_scale", {1}, {0.25f});
      for (const char* name : {"weights", "first", "second"}) c.output(name, {n});
      c.forward = [=](Backend& b, OpTensors& t) {
        b.adamw_step(t["weights"], t["first"], t["second"], t["gradients"],
                     step == 2 ? Tensor{} : t["gradient_scale"], a);
      };
      c.reference = [=](OpValues& v) {
        const double correction1 = 1 - std::pow(static_cast<double>(a.beta1), step);
        const double correction2 = 1 - std::pow(static_cast<double>(a.beta2), step);
        for (size_t i = 0; i < v["weights"].size(); ++i) {
          const double g = v["gradients"][i] * (step == 2 ? 1 : 0.25);
          double& w = v["weights"][i];
          double& m = v["first"][i];
          double& s = v["second"][i];
          w *= 1 - static_cast<double>(a.learning_rate) * a.weight_decay;
          m = a.beta1 * m + (1 - a.beta1) * g;
          s = a.beta2 * s + (1 - a.beta2) * g * g;
          const double denominator = std::sqrt(s) / std::sqrt(correction2) + a.eps;
          w -= a.learning_rate / correction1 * m / denominator;
        }
      };
      run_case(c);
    }
  }
}

OP_CASES(ema_update, "ema_update") {
  for (int64_t n : kSizes) {
    for (float decay : {0.0f, 0.9f, 0.9999f}) {
      OpCase c(text("n=", n, " decay ", decay));
      c.constant("average", {n}, normal(n, "average"));
      c.constant("weights", {n}, normal(n, "weights"));
      c.output("average", {n});
      c.forward = [=](Backend& b, OpTensors& t) {
        b.ema_update(t["average"], t["weights"], decay);
      };
      c.reference = [=](OpValues& v) {
        for (size_t i = 0; i < v["average"].size(); ++i) {
          v["average"][i] = decay * v["average"][i] + (1.0 - decay) * v["weights"][i];
        }
      };
      run_case(c);
    }
  }
}

}  // namespace countenance::test
