#include "ops/ops.h"

namespace countenance {

namespace {

class GlobalAveragePool final : public Op {
 public:
  GlobalAveragePool(Value y, Value x) : y_(y), x_(x) {}
  const char* type() const override { return "global_average_pool"; }

  OpDescription describe() const override {
    return {.inputs = {{"x", x_}}, .outputs = {{"y", y_}}};
  }
  void forward(Run& run) const override {
    run.backend().global_average_pool_forward(run[y_], run[x_]);
  }
  void backward(Run& run) const override {
    run.backend().global_average_pool_backward(run.d(x_), run.dy(y_));
  }

 private:
  Value y_, x_;
};

}  // namespace

Value global_average_pool(Graph& graph, Value x) {
  const Shape in = graph.shape(x);
  require(in.rank() == 4, "global_average_pool: Expected an input (B, H, W, C) but received ", in);
  const Value y = graph.activation_tensor(Shape{in[0], in[3]});
  graph.add(std::make_unique<GlobalAveragePool>(y, x));
  return y;
}

}  // namespace countenance
