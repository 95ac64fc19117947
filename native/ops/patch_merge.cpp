#include "ops/ops.h"

namespace countenance {

namespace {

class PatchMerge final : public Op {
 public:
  PatchMerge(Value y, Value x) : y_(y), x_(x) {}
  const char* type() const override { return "patch_merge"; }

  OpDescription describe() const override {
    return {.inputs = {{"x", x_}}, .outputs = {{"y", y_}}};
  }
  void forward(Run& run) const override { run.backend().patch_merge_forward(run[y_], run[x_]); }
  void backward(Run& run) const override {
    run.backend().patch_merge_backward(run.d(x_), run.dy(y_));
  }

 private:
  Value y_, x_;
};

}  // namespace

Value patch_merge(Graph& graph, Value x) {
  const Shape in = graph.shape(x);
  require(in.rank() == 4 && in[1] % 2 == 0 && in[2] % 2 == 0,
          "patch_merge: Expected (B, H, W, C) with even H and W but received ", in);
  const Value y = graph.activation_tensor(Shape{in[0], in[1] / 2, in[2] / 2, 4 * in[3]});
  graph.add(std::make_unique<PatchMerge>(y, x));
  return y;
}

}  // namespace countenance
