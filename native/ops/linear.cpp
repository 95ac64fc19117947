#include "ops/ops.h"

namespace countenance {

namespace {

// y = x weight^T + bias, or y = gelu of that, which training saves as the pre-activation.
class Linear final : public Op {
 public:
  Linear(Value y, Value pre_activation, Value x, ParameterId weight, ParameterId bias,
         Activation activation)
      : y_(y),
        pre_activation_(pre_activation),
        x_(x),
        weight_(weight),
        bias_(bias),
        activation_(activation) {}

  const char* type() const override {
    return activation_ == Activation::Gelu ? "linear_gelu" : "linear";
  }

  OpDescription describe() const override {
    return {.inputs = {{"x", x_}},
            .outputs = {{"y", y_}, {"pre_activation", pre_activation_}},
            .parameters = {{"weight", weight_}, {"bias", bias_}}};
  }

  void forward(Run& run) const override {
    const Epilogue epilogue{
        .shift = run[bias_], .activation = activation_, .pre_activation = run[pre_activation_]};
    run.backend().linear_forward(run[y_], run[x_], run[weight_], epilogue, run.workspace());
  }

  void backward(Run& run) const override {
    const Tensor dy = run.dy(y_);
    if (activation_ == Activation::Gelu) {
      // In place: nothing reads dy after this op.
      run.backend().gelu_backward(overwrite(dy), dy, run[pre_activation_]);
    }
    if (const Gradient dx = run.d(x_); dx.wanted()) {
      run.backend().linear_backward_data(dx, dy, run[weight_], run.workspace());
    }
    run.backend().linear_backward_weight(run.d(weight_), run.d(bias_), dy, run[x_],
                                         run.workspace());
  }

 private:
  Value y_, pre_activation_, x_;
  ParameterId weight_, bias_;
  Activation activation_;
};

Value add_linear(Graph& graph, Value x, const std::string& name, const LinearOptions& options,
                 Activation activation) {
  const Shape in = graph.shape(x);
  require(in.rank() >= 2 && options.out_features >= 1, name,
          ": Expected rows of channels and at least one output but received ", in);
  const Shape weight_shape{options.out_features, in.channels()};
  const ParameterId weight =
      graph.parameter(name + ".weight", weight_shape, ParameterKind::Matrix, options.weight);
  ParameterId bias;
  if (options.bias) {
    bias = graph.parameter(name + ".bias", Shape{options.out_features}, ParameterKind::Vector,
                           options.bias_initializer);
  }
  Shape out;
  for (int i = 0; i + 1 < in.rank(); ++i) out.append(in[i]);
  out.append(options.out_features);
  const Value y = graph.activation_tensor(out);
  const Value pre_activation =
      activation == Activation::Gelu ? graph.saved(out, graph.activation()) : Value{};
  const size_t bytes = graph.backend().linear_workspace(in, weight_shape);
  graph.add(std::make_unique<Linear>(y, pre_activation, x, weight, bias, activation),
            {.kept = {x, pre_activation}, .forward_workspace = bytes, .backward_workspace = bytes});
  return y;
}

}  // namespace

Value linear(Graph& graph, Value x, const std::string& name, const LinearOptions& options) {
  return add_linear(graph, x, name, options, Activation::None);
}

Value linear_gelu(Graph& graph, Value x, const std::string& name, const LinearOptions& options) {
  return add_linear(graph, x, name, options, Activation::Gelu);
}

}  // namespace countenance
