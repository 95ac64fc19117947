#include <cmath>

#include "ops/ops.h"

namespace countenance {

namespace {

class Conv2d final : public Op {
 public:
  Conv2d(Value y, Value statistics, Value x, ParameterId weight, ParameterId bias,
         Conv2dAttributes attributes)
      : y_(y),
        statistics_(statistics),
        x_(x),
        weight_(weight),
        bias_(bias),
        attributes_(attributes) {}

  const char* type() const override { return "conv2d"; }

  OpDescription describe() const override {
    return {.attributes = {{"stride", attributes_.stride}, {"padding", attributes_.padding}},
            .inputs = {{"x", x_}},
            .outputs = {{"y", y_}, {"statistics", statistics_}},
            .parameters = {{"weight", weight_}, {"bias", bias_}}};
  }

  void forward(Run& run) const override {
    const Epilogue epilogue{.shift = run[bias_], .statistics = run[statistics_]};
    run.backend().conv2d_forward(run[y_], run[x_], run[weight_], epilogue, attributes_,
                                 run.workspace());
  }

  void backward(Run& run) const override {
    if (const Gradient dx = run.d(x_); dx.wanted()) {
      run.backend().conv2d_backward_data(dx, run.dy(y_), run[weight_], attributes_,
                                         run.workspace());
    }
    run.backend().conv2d_backward_weight(run.d(weight_), run.d(bias_), run.dy(y_), run[x_],
                                         attributes_, run.workspace());
  }

 private:
  Value y_, statistics_, x_;
  ParameterId weight_, bias_;
  Conv2dAttributes attributes_;
};

// Evaluation mode: y = activation(conv(x) scale + shift + residual).
class FoldedConvNorm final : public Op {
 public:
  FoldedConvNorm(Value y, Value x, Value residual, Value scale, Value shift, ParameterId weight,
                 const ParameterId (&norm)[4], Conv2dAttributes conv,
                 BatchNormAttributes attributes)
      : y_(y),
        x_(x),
        residual_(residual),
        scale_(scale),
        shift_(shift),
        weight_(weight),
        norm_weight_(norm[0]),
        norm_bias_(norm[1]),
        running_mean_(norm[2]),
        running_var_(norm[3]),
        conv_(conv),
        norm_(attributes) {}

  const char* type() const override { return "conv_norm"; }

  OpDescription describe() const override {
    return {.attributes = {{"stride", conv_.stride},
                           {"padding", conv_.padding},
                           {"eps", norm_.eps},
                           {"activation", norm_.activation}},
            .inputs = {{"x", x_}, {"residual", residual_}},
            .outputs = {{"y", y_}, {"scale", scale_}, {"shift", shift_}},
            .parameters = {{"weight", weight_},
                           {"norm_weight", norm_weight_},
                           {"norm_bias", norm_bias_},
                           {"running_mean", running_mean_},
                           {"running_var", running_var_}}};
  }

  void forward(Run& run) const override {
    run.backend().batch_norm_fold({.scale = run[scale_],
                                   .shift = run[shift_],
                                   .weight = run[norm_weight_],
                                   .bias = run[norm_bias_],
                                   .running_mean = run[running_mean_],
                                   .running_var = run[running_var_]},
                                  norm_);
    const Epilogue epilogue{run[scale_], run[shift_], run[residual_], norm_.activation};
    run.backend().conv2d_forward(run[y_], run[x_], run[weight_], epilogue, conv_, run.workspace());
  }

  void backward(Run&) const override { ensure(false, "conv_norm has no backward"); }

 private:
  Value y_, x_, residual_, scale_, shift_;
  ParameterId weight_, norm_weight_, norm_bias_, running_mean_, running_var_;
  Conv2dAttributes conv_;
  BatchNormAttributes norm_;
};

struct Geometry {
  Shape x, weight, y;
};

Geometry geometry(const Graph& graph, Value x, const std::string& name,
                  const Conv2dOptions& options) {
  const Shape& in = graph.shape(x);
  require(in.rank() == 4, name, ": Expected an input (B, H, W, C) but received ", in);
  require(options.out_channels >= 1 && options.kernel >= 1 && options.stride >= 1 &&
              options.padding >= 0,
          name, ": Expected positive channels, kernel and stride and a padding of at least 0");
  const int64_t height = in[1] + 2 * options.padding - options.kernel;
  const int64_t width = in[2] + 2 * options.padding - options.kernel;
  require(height >= 0 && width >= 0, name, ": the kernel of ", options.kernel,
          " is larger than the padded input ", in);
  return {
      in, Shape{options.out_channels, in[3], options.kernel, options.kernel},
      Shape{in[0], height / options.stride + 1, width / options.stride + 1, options.out_channels}};
}

struct ConvOutput {
  Value y;
  Value statistics;  // absent if not requested or not supported by this backend
};

ConvOutput add_conv2d(Graph& graph, Value x, const std::string& name, const Conv2dOptions& options,
                      bool wants_statistics) {
  const Geometry shapes = geometry(graph, x, name, options);
  const Conv2dAttributes attributes{options.stride, options.padding};
  const ParameterId weight = graph.parameter(name + ".weight", shapes.weight, ParameterKind::Matrix,
                                             Initializer::kaiming_fan_out(shapes.weight));
  ParameterId bias;
  if (options.bias) {
    bias = graph.parameter(name + ".bias", Shape{options.out_channels}, ParameterKind::Vector,
                           Initializer::fan_in(shapes.weight.elements() / options.out_channels));
  }
  ConvOutput made{graph.activation_tensor(shapes.y), {}};
  if (wants_statistics) {
    const size_t bytes =
        graph.backend().conv2d_statistics(shapes.x, shapes.weight, attributes, graph.activation());
    const int64_t floats = static_cast<int64_t>(bytes / sizeof(float));
    if (floats > 0) made.statistics = graph.tensor(Shape{floats}, DType::F32);
  }
  const size_t bytes = graph.backend().conv2d_workspace(shapes.x, shapes.weight, attributes);
  graph.add(std::make_unique<Conv2d>(made.y, made.statistics, x, weight, bias, attributes),
            {.kept = {x}, .forward_workspace = bytes, .backward_workspace = bytes});
  return made;
}

}  // namespace

Value conv2d(Graph& graph, Value x, const std::string& name, const Conv2dOptions& options) {
  return add_conv2d(graph, x, name, options, false).y;
}

Value conv_norm(Graph& graph, Value x, const std::string& conv, const std::string& norm,
                const Conv2dOptions& options, const BatchNormOptions& norm_options) {
  ensure(!options.bias, "a convolution before a batch norm has no bias");
  if (graph.training()) {
    const ConvOutput made = add_conv2d(graph, x, conv, options, true);
    BatchNormOptions with_statistics = norm_options;
    with_statistics.statistics = made.statistics;
    return batch_norm(graph, made.y, norm, with_statistics);
  }
  const Geometry shapes = geometry(graph, x, conv, options);
  const Conv2dAttributes attributes{options.stride, options.padding};
  const Shape channels{options.out_channels};
  const ParameterId weight = graph.parameter(conv + ".weight", shapes.weight, ParameterKind::Matrix,
                                             Initializer::kaiming_fan_out(shapes.weight));
  const ParameterId parameters[4] = {
      graph.parameter(norm + ".weight", channels, ParameterKind::Vector, Initializer::ones()),
      graph.parameter(norm + ".bias", channels, ParameterKind::Vector, Initializer::zeros()),
      graph.parameter(norm + ".running_mean", channels, ParameterKind::Statistic,
                      Initializer::zeros()),
      graph.parameter(norm + ".running_var", channels, ParameterKind::Statistic,
                      Initializer::ones())};
  const Value y = graph.activation_tensor(shapes.y);
  const Value scale = graph.tensor(channels, DType::F32);
  const Value shift = graph.tensor(channels, DType::F32);
  graph.add(
      std::make_unique<FoldedConvNorm>(
          y, x, norm_options.residual, scale, shift, weight, parameters, attributes,
          BatchNormAttributes{norm_options.eps, norm_options.momentum, norm_options.activation}),
      {.forward_workspace = graph.backend().conv2d_workspace(shapes.x, shapes.weight, attributes)});
  return y;
}

}  // namespace countenance
