#include "ops/ops.h"

namespace countenance {

namespace {

class Linear final : public Op {
 public:
  Linear(Value y, Value x, ParameterId weight, ParameterId bias)
      : y_(y), x_(x), weight_(weight), bias_(bias) {}

  const char* type() const override { return "linear"; }

  void forward(Run& run) const override {
    const Epilogue epilogue{.shift = run[bias_]};
    run.backend().linear_forward(run[y_], run[x_], run[weight_], epilogue, run.workspace());
  }

  void backward(Run& run) const override {
    if (const Gradient dx = run.d(x_); dx.wanted()) {
      run.backend().linear_backward_data(dx, run.dy(y_), run[weight_], run.workspace());
    }
    run.backend().linear_backward_weight(run.d(weight_), run.d(bias_), run.dy(y_), run[x_],
                                         run.workspace());
  }

 private:
  Value y_, x_;
  ParameterId weight_, bias_;
};

}  // namespace

Value linear(Graph& graph, Value x, const std::string& name, const LinearOptions& options) {
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
  const size_t bytes = graph.backend().linear_workspace(in, weight_shape);
  graph.add(std::make_unique<Linear>(y, x, weight, bias), {.inputs = {x},
                                                           .outputs = {y},
                                                           .kept = {x},
                                                           .parameters = {weight, bias},
                                                           .forward_workspace = bytes,
                                                           .backward_workspace = bytes});
  return y;
}

}  // namespace countenance
