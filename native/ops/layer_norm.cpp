#include "ops/ops.h"

namespace countenance {

namespace {

constexpr float kEps = 1e-5f;

class LayerNorm final : public Op {
 public:
  LayerNorm(Value y, Value mean, Value rstd, Value x, ParameterId weight, ParameterId bias)
      : y_(y), mean_(mean), rstd_(rstd), x_(x), weight_(weight), bias_(bias) {}

  const char* type() const override { return "layer_norm"; }

  OpDescription describe() const override {
    return {.attributes = {{"eps", kEps}},
            .inputs = {{"x", x_}},
            .outputs = {{"y", y_}, {"mean", mean_}, {"rstd", rstd_}},
            .parameters = {{"weight", weight_}, {"bias", bias_}}};
  }

  void forward(Run& run) const override {
    run.backend().layer_norm_forward({.y = run[y_],
                                      .mean = run[mean_],
                                      .rstd = run[rstd_],
                                      .x = run[x_],
                                      .weight = run[weight_],
                                      .bias = run[bias_]},
                                     kEps);
  }

  void backward(Run& run) const override {
    run.backend().layer_norm_backward({.dx = run.d(x_),
                                       .dweight = run.d(weight_),
                                       .dbias = run.d(bias_),
                                       .dy = run.dy(y_),
                                       .x = run[x_],
                                       .mean = run[mean_],
                                       .rstd = run[rstd_],
                                       .weight = run[weight_],
                                       .workspace = run.workspace()});
  }

 private:
  Value y_, mean_, rstd_, x_;
  ParameterId weight_, bias_;
};

}  // namespace

Value layer_norm(Graph& graph, Value x, const std::string& name) {
  const Shape shape = graph.shape(x);
  const Shape channels{shape.channels()};
  const ParameterId weight =
      graph.parameter(name + ".weight", channels, ParameterKind::Vector, Initializer::ones());
  const ParameterId bias =
      graph.parameter(name + ".bias", channels, ParameterKind::Vector, Initializer::zeros());
  const Value y = graph.activation_tensor(shape);
  const Value mean = graph.saved(Shape{shape.rows()}, DType::F32);
  const Value rstd = graph.saved(Shape{shape.rows()}, DType::F32);
  graph.add(
      std::make_unique<LayerNorm>(y, mean, rstd, x, weight, bias),
      {.kept = {x, mean, rstd}, .backward_workspace = graph.backend().layer_norm_workspace(shape)});
  return y;
}

}  // namespace countenance
