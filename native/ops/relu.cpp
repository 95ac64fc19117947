#include "ops/ops.h"

namespace countenance {

namespace {

class Relu final : public Op {
 public:
  Relu(Value y, Value x) : y_(y), x_(x) {}
  const char* type() const override { return "relu"; }

  OpDescription describe() const override {
    return {.inputs = {{"x", x_}}, .outputs = {{"y", y_}}};
  }
  void forward(Run& run) const override { run.backend().relu_forward(run[y_], run[x_]); }
  void backward(Run& run) const override {
    run.backend().relu_backward(run.d(x_), run.dy(y_), run[y_]);
  }

 private:
  Value y_, x_;
};

}  // namespace

Value relu(Graph& graph, Value x) {
  const Value y = graph.activation_tensor(graph.shape(x));
  graph.add(std::make_unique<Relu>(y, x), {.kept = {y}});
  return y;
}

}  // namespace countenance
