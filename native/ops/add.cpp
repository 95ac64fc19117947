#include "ops/ops.h"

namespace countenance {

namespace {

class Add final : public Op {
 public:
  Add(Value y, Value scale, Value a, Value b, float drop_path)
      : y_(y), scale_(scale), a_(a), b_(b), drop_path_(drop_path) {}

  const char* type() const override { return "add"; }

  OpDescription describe() const override {
    // Without a scale, in evaluation mode, nothing is dropped.
    return {.attributes = {{"drop_path", scale_ ? drop_path_ : 0.0f}},
            .inputs = {{"a", a_}, {"b", b_}},
            .outputs = {{"y", y_}, {"scale", scale_}}};
  }

  void forward(Run& run) const override {
    const Tensor scale = run[scale_];
    if (scale) run.backend().drop_path_scale(scale, drop_path_, run.random());
    run.backend().add_forward(run[y_], run[a_], run[b_], scale);
  }

  void backward(Run& run) const override {
    run.backend().add_backward(run.d(a_), run.d(b_), run.dy(y_), run[scale_]);
  }

 private:
  Value y_, scale_, a_, b_;
  float drop_path_;
};

}  // namespace

Value add(Graph& graph, Value a, Value b, float drop_path) {
  const Shape shape = graph.shape(a);
  require(graph.shape(b) == shape, "add: Expected two values of shape ", shape, " but received ",
          graph.shape(b));
  require(drop_path >= 0 && drop_path < 1, "Expected a drop path rate in [0, 1) but received ",
          drop_path);
  const Value y = graph.activation_tensor(shape);
  Value scale;
  if (drop_path > 0) scale = graph.saved(Shape{shape[0]}, DType::F32);
  graph.add(std::make_unique<Add>(y, scale, a, b, drop_path), {.kept = {scale}});
  return y;
}

}  // namespace countenance
