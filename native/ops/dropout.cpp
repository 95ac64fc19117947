#include "ops/ops.h"

namespace countenance {

namespace {

// The mask is drawn again in the backward pass, from the same key, instead of being stored.
class Dropout final : public Op {
 public:
  Dropout(Value y, Value x, float probability) : y_(y), x_(x), probability_(probability) {}
  const char* type() const override { return "dropout"; }

  OpDescription describe() const override {
    return {.attributes = {{"probability", probability_}},
            .inputs = {{"x", x_}},
            .outputs = {{"y", y_}}};
  }
  void forward(Run& run) const override {
    run.backend().dropout_forward(run[y_], run[x_], probability_, run.random());
  }
  void backward(Run& run) const override {
    run.backend().dropout_backward(run.d(x_), run.dy(y_), probability_, run.random());
  }

 private:
  Value y_, x_;
  float probability_;
};

}  // namespace

Value dropout(Graph& graph, Value x, float probability) {
  require(probability >= 0 && probability < 1,
          "Expected a dropout probability in [0, 1) but received ", probability);
  if (!graph.training() || probability == 0) return x;
  const Value y = graph.activation_tensor(graph.shape(x));
  graph.add(std::make_unique<Dropout>(y, x, probability));
  return y;
}

}  // namespace countenance
