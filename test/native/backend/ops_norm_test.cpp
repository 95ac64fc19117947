#include <cmath>

#include "backend/op_cases.h"

namespace countenance::test {

namespace {

struct NormShape {
  int64_t rows;
  int64_t channels;
};

// A mean near 0 is a sum of numbers of size 1, with the rounding error of one; dx is a difference
// of three terms, dy rstd and smaller ones, which cancel completely for two rows; rstd is up to 10
// here.
void set_norm_tolerances(OpCase& c) {
  c.forward_noise = 1e-7;
  c.backward_tolerance = 5e-6;
  c.backward_noise = 5e-6;
}

// y = activation((x - mean) / sqrt(var + eps) weight + bias + residual) over the rows.
void batch_norm_reference(OpValues& v, const NormShape& s, const BatchNormAttributes& attributes,
                          bool has_residual) {
  const double n = static_cast<double>(s.rows);
  const std::vector<double>& in = v["x"];
  std::vector<double>& out = v["y"];
  const double* residual = has_residual ? v["residual"].data() : nullptr;
  for (int64_t c = 0; c < s.channels; ++c) {
    const auto x = [&](int64_t r) { return in[static_cast<size_t>(r * s.channels + c)]; };
    const size_t at = static_cast<size_t>(c);
    double mean = 0;
    for (int64_t r = 0; r < s.rows; ++r) mean += x(r) / n;
    double variance = 0;
    for (int64_t r = 0; r < s.rows; ++r) variance += (x(r) - mean) * (x(r) - mean) / n;
    const double rstd = 1 / std::sqrt(variance + attributes.eps);
    v["mean"][at] = mean;
    v["rstd"][at] = rstd;
    const double m = attributes.momentum;
    v["running_mean"][at] = (1 - m) * v["running_mean"][at] + m * mean;
    const double unbiased = s.rows > 1 ? variance * n / (n - 1) : variance;
    v["running_var"][at] = (1 - m) * v["running_var"][at] + m * unbiased;
    const double weight = v["weight"][at];
    const double bias = v["bias"][at];
    for (int64_t r = 0; r < s.rows; ++r) {
      const size_t i = static_cast<size_t>(r * s.channels + c);
      double y = (x(r) - mean) * rstd * weight + bias;
      if (residual) y += residual[i];
      if (attributes.activation == Activation::Relu) y = std::max(0.0, y);
      out[i] = y;
    }
  }
}

OpCase batch_norm_case(const NormShape& s, bool relu, bool residual, double mean = 0,
                       double deviation = 1) {
  OpCase c(text(s.rows, " x ", s.channels, relu ? " relu" : "", residual ? " residual" : "",
                " mean ", mean));
  const Shape shape{s.rows, s.channels};
  const Shape channels{s.channels};
  BatchNormAttributes attributes;
  attributes.activation = relu ? Activation::Relu : Activation::None;
  c.input("x", shape, normal(shape.elements(), c.name, mean, deviation));
  c.input("weight", channels, uniform(s.channels, 0.5, 1.5, "weight"));
  c.input("bias", channels, normal(s.channels, "bias"));
  if (residual) c.input("residual", shape, normal(shape.elements(), "residual"));
  c.constant("running_mean", channels, normal(s.channels, "running_mean"));
  c.constant("running_var", channels, uniform(s.channels, 0.5, 2, "running_var"));
  c.output("y", shape);
  for (const char* name : {"mean", "rstd", "running_mean", "running_var"}) {
    c.side_output(name, channels);
  }
  c.workspace = [shape](Backend& b) { return b.batch_norm_workspace(shape); };
  c.forward = [=](Backend& b, OpTensors& t) {
    b.batch_norm_forward({.y = t["y"],
                          .mean = t["mean"],
                          .rstd = t["rstd"],
                          .running_mean = t["running_mean"],
                          .running_var = t["running_var"],
                          .x = t["x"],
                          .weight = t["weight"],
                          .bias = t["bias"],
                          .residual = residual ? t["residual"] : Tensor{},
                          .workspace = t.workspace},
                         attributes);
  };
  c.backward = [=](Backend& b, OpTensors& t) {
    b.batch_norm_backward({.dx = t.gradient("x"),
                           .dresidual = residual ? t.gradient("residual") : Gradient{},
                           .dweight = t.gradient("weight"),
                           .dbias = t.gradient("bias"),
                           .dy = t.cotangent("y"),
                           .x = t["x"],
                           .y = relu ? t["y"] : Tensor{},
                           .mean = t["mean"],
                           .rstd = t["rstd"],
                           .weight = t["weight"],
                           .workspace = t.workspace},
                          attributes);
  };
  c.reference = [=](OpValues& v) { batch_norm_reference(v, s, attributes, residual); };
  set_norm_tolerances(c);
  return c;
}

}  // namespace

OP_CASES(batch_norm, "batch_norm_forward", "batch_norm_backward") {
  for (const NormShape& s : {NormShape{2, 1},
                             {5, 3},
                             {3, 16},
                             {67, 17},
                             {130, 40},
                             {33, 131},
                             {4, 600},
                             {200, 8},
                             {701, 16},
                             {530, 3}}) {
    for (bool relu : {false, true}) {
      for (bool residual : {false, true}) run_case(batch_norm_case(s, relu, residual));
    }
  }
}

// Several slices, each with several folds.
OP_CASES(batch_norm_large, "batch_norm_forward", "batch_norm_backward") {
  const std::vector<NormShape> shapes = kEmulated ? std::vector<NormShape>{{1103, 40}}
                                                  : std::vector<NormShape>{{2003, 72}, {1001, 128}};
  for (const NormShape& s : shapes) {
    OpCase c = batch_norm_case(s, true, true);
    // Finite differences over a hundred thousand numbers are slow: the outputs and the gradients of
    // the vectors are enough here.
    c.inputs[0].differentiable = false;
    c.inputs[3].differentiable = false;
    c.backward = [](Backend& b, OpTensors& t) {
      b.batch_norm_backward({.dx = {},
                             .dweight = t.gradient("weight"),
                             .dbias = t.gradient("bias"),
                             .dy = t.cotangent("y"),
                             .x = t["x"],
                             .y = t["y"],
                             .mean = t["mean"],
                             .rstd = t["rstd"],
                             .weight = t["weight"],
                             .workspace = t.workspace},
                            {.activation = Activation::Relu});
    };
    run_case(c);
  }
}

// float represents a mean of 1000 with an error of 3e-5, which is 3e-5 of the deviation of 1; the
// variance itself must not lose a digit.
OP_CASES(batch_norm_large_mean, "batch_norm_forward") {
  for (const NormShape& s : {NormShape{50, 20}, {kEmulated ? 700 : 3000, kEmulated ? 24 : 64}}) {
    OpCase c = batch_norm_case(s, false, false, 1000, 1);
    c.backward = nullptr;
    c.forward_tolerance = 5e-5;
    run_case(c);
    const TestedBackend& tested = tested_backends().back();
    const std::unique_ptr<Backend> backend = tested.make(1);
    OpValues v;
    for (const OpInput& i : c.inputs) v[i.name].assign(i.values.begin(), i.values.end());
    for (const char* name : {"mean", "rstd"}) v[name].resize(static_cast<size_t>(s.channels));
    v["y"].resize(v["x"].size());
    c.reference(v);
    const auto block = [&](int64_t n) { return backend->allocate(static_cast<size_t>(n) * 4); };
    const auto x = block(s.rows * s.channels), y = block(s.rows * s.channels);
    const auto mean = block(s.channels), rstd = block(s.channels), ones = block(s.channels);
    const auto workspace = backend->allocate(backend->batch_norm_workspace({s.rows, s.channels}));
    const auto view = [](const auto& b, Shape shape) {
      return tensor_of(static_cast<float*>(b->data()), shape);
    };
    const Shape channels{s.channels};
    const Tensor input = view(x, {s.rows, s.channels});
    backend->copy_in(input, c.inputs[0].values.data());
    backend->batch_norm_forward({.y = view(y, input.shape),
                                 .mean = view(mean, channels),
                                 .rstd = view(rstd, channels),
                                 .running_mean = {},
                                 .running_var = {},
                                 .x = input,
                                 .weight = view(ones, channels),
                                 .bias = view(ones, channels),
                                 .workspace = view(workspace, {1})},
                                {});
    std::vector<float> got(static_cast<size_t>(s.channels));
    backend->copy_out(got.data(), view(rstd, channels));
    for (size_t i = 0; i < got.size(); ++i) {
      CHECK(std::fabs(got[i] - v["rstd"][i]) <= 1e-6 * v["rstd"][i], "rstd ", got[i], " of ",
            v["rstd"][i]);
    }
  }
}

// One row: PyTorch refuses it; the kernel stays finite and returns the bias.
OP_CASES(batch_norm_one_row, "batch_norm_forward") {
  OpCase c = batch_norm_case({1, 19}, false, false);
  c.backward = nullptr;
  run_case(c);
}

OP_CASES(batch_norm_fold, "batch_norm_fold") {
  for (int64_t channels : {1, 37, 512}) {
    OpCase c(text(channels, " channels"));
    const Shape shape{channels};
    c.constant("weight", shape, normal(channels, "weight"));
    c.constant("bias", shape, normal(channels, "bias"));
    c.constant("running_mean", shape, normal(channels, "running_mean"));
    c.constant("running_var", shape, uniform(channels, 0, 2, "running_var"));
    c.output("scale", shape);
    c.output("shift", shape);
    c.forward = [](Backend& b, OpTensors& t) {
      b.batch_norm_fold({.scale = t["scale"],
                         .shift = t["shift"],
                         .weight = t["weight"],
                         .bias = t["bias"],
                         .running_mean = t["running_mean"],
                         .running_var = t["running_var"]},
                        {.eps = 2e-5f});
    };
    c.reference = [](OpValues& v) {
      for (size_t i = 0; i < v["weight"].size(); ++i) {
        v["scale"][i] = v["weight"][i] / std::sqrt(v["running_var"][i] + 2e-5);
        v["shift"][i] = v["bias"][i] - v["running_mean"][i] * v["scale"][i];
      }
    };
    run_case(c);
  }
}

OP_CASES(scale_shift, "scale_shift_forward") {
  for (const NormShape& s : {NormShape{1, 1}, {5, 3}, {70, 33}, {900, 64}}) {
    for (int variant = 0; variant < 16; ++variant) {
      const bool scale = variant & 1, shift = variant & 2, residual = variant & 4;
      const bool relu = variant & 8;
      OpCase c(text(s.rows, " x ", s.channels, " variant ", variant));
      const Shape shape{s.rows, s.channels};
      c.constant("x", shape, normal(shape.elements(), c.name));
      c.constant("scale", {s.channels}, normal(s.channels, "scale"));
      c.constant("shift", {s.channels}, normal(s.channels, "shift"));
      c.constant("residual", shape, normal(shape.elements(), "residual"));
      c.output("y", shape);
      c.forward = [=](Backend& b, OpTensors& t) {
        b.scale_shift_forward(
            t["y"], t["x"],
            {scale ? t["scale"] : Tensor{}, shift ? t["shift"] : Tensor{},
             residual ? t["residual"] : Tensor{}, relu ? Activation::Relu : Activation::None});
      };
      c.reference = [=](OpValues& v) {
        for (size_t i = 0; i < v["x"].size(); ++i) {
          const size_t channel = i % static_cast<size_t>(s.channels);
          double y = v["x"][i] * (scale ? v["scale"][channel] : 1);
          y += (shift ? v["shift"][channel] : 0) + (residual ? v["residual"][i] : 0);
          v["y"][i] = relu ? std::max(0.0, y) : y;
        }
      };
      run_case(c);
    }
  }
}

namespace {

OpCase layer_norm_case(const NormShape& s, double mean = 0) {
  OpCase c(text(s.rows, " x ", s.channels, " mean ", mean));
  const Shape shape{s.rows, s.channels};
  constexpr float kEps = 1e-5f;
  c.input("x", shape, normal(shape.elements(), c.name, mean));
  c.input("weight", {s.channels}, uniform(s.channels, 0.5, 1.5, "weight"));
  c.input("bias", {s.channels}, normal(s.channels, "bias"));
  c.output("y", shape);
  c.side_output("mean", {s.rows});
  c.side_output("rstd", {s.rows});
  c.workspace = [shape](Backend& b) { return b.layer_norm_workspace(shape); };
  c.forward = [](Backend& b, OpTensors& t) {
    b.layer_norm_forward({.y = t["y"],
                          .mean = t["mean"],
                          .rstd = t["rstd"],
                          .x = t["x"],
                          .weight = t["weight"],
                          .bias = t["bias"]},
                         kEps);
  };
  c.backward = [](Backend& b, OpTensors& t) {
    b.layer_norm_backward({.dx = t.gradient("x"),
                           .dweight = t.gradient("weight"),
                           .dbias = t.gradient("bias"),
                           .dy = t.cotangent("y"),
                           .x = t["x"],
                           .mean = t["mean"],
                           .rstd = t["rstd"],
                           .weight = t["weight"],
                           .workspace = t.workspace});
  };
  c.reference = [s](OpValues& v) {
    const size_t n = static_cast<size_t>(s.channels);
    for (size_t r = 0; r < static_cast<size_t>(s.rows); ++r) {
      const double* x = v["x"].data() + r * n;
      double row_mean = 0;
      for (size_t i = 0; i < n; ++i) row_mean += x[i] / static_cast<double>(n);
      double variance = 0;
      for (size_t i = 0; i < n; ++i) {
        variance += (x[i] - row_mean) * (x[i] - row_mean) / static_cast<double>(n);
      }
      const double rstd = 1 / std::sqrt(variance + kEps);
      v["mean"][r] = row_mean;
      v["rstd"][r] = rstd;
      const double* weight = v["weight"].data();
      const double* bias = v["bias"].data();
      double* y = v["y"].data() + r * n;
      for (size_t i = 0; i < n; ++i) y[i] = (x[i] - row_mean) * rstd * weight[i] + bias[i];
    }
  };
  set_norm_tolerances(c);
  return c;
}

}  // namespace

OP_CASES(layer_norm, "layer_norm_forward", "layer_norm_backward") {
  for (const NormShape& s : {NormShape{1, 2},
                             {1, 7},
                             {3, 16},
                             {9, 33},
                             {70, 96},
                             {5, 200},
                             {131, 65},
                             {2, 768},
                             {9, 384},
                             {3, 1536},
                             {5, 301},
                             {3, 2056}}) {
    run_case(layer_norm_case(s));
  }
}

OP_CASES(layer_norm_large, "layer_norm_forward", "layer_norm_backward") {
  OpCase c = layer_norm_case({kEmulated ? 300 : 2500, 100});
  c.inputs[0].differentiable = false;
  c.backward = [](Backend& b, OpTensors& t) {
    b.layer_norm_backward({.dx = {},
                           .dweight = t.gradient("weight"),
                           .dbias = t.gradient("bias"),
                           .dy = t.cotangent("y"),
                           .x = t["x"],
                           .mean = t["mean"],
                           .rstd = t["rstd"],
                           .weight = t["weight"],
                           .workspace = t.workspace});
  };
  run_case(c);
}

// As for batch norm: the float mean limits y to 3e-5 of the deviation.
OP_CASES(layer_norm_large_mean, "layer_norm_forward") {
  OpCase c = layer_norm_case({20, 96}, 1000);
  c.backward = nullptr;
  c.forward_tolerance = 5e-5;
  run_case(c);
}

// One channel: the variance is 0 and the gradient vanishes with it.
OP_CASES(layer_norm_one_channel, "layer_norm_forward") {
  OpCase c = layer_norm_case({5, 1});
  c.backward = nullptr;
  run_case(c);
}

}  // namespace countenance::test
