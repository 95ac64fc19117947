#include "ops/ops.h"

namespace countenance {

namespace {

class Gelu final : public Op {
 public:
  Gelu(Value y, Value x) : y_(y), x_(x) {}
  const char* type() const override { return "gelu"; }
  void forward(Run& run) const override { run.backend().gelu_forward(run[y_], run[x_]); }
  void backward(Run& run) const override {
    run.backend().gelu_backward(run.d(x_), run.dy(y_), run[x_]);
  }

 private:
  Value y_, x_;
};

}  // namespace

Value gelu(Graph& graph, Value x) {
  const Value y = graph.activation_tensor(graph.shape(x));
  graph.add(std::make_unique<Gelu>(y, x), {.inputs = {x}, .outputs = {y}, .kept = {x}});
  return y;
}

}  // namespace countenance
