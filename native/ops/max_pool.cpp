#include "ops/ops.h"

namespace countenance {

namespace {

class MaxPool final : public Op {
 public:
  MaxPool(Value y, Value argmax, Value x, MaxPoolAttributes attributes)
      : y_(y), argmax_(argmax), x_(x), attributes_(attributes) {}
  const char* type() const override { return "max_pool"; }

  OpDescription describe() const override {
    return {.attributes = {{"kernel", attributes_.kernel},
                           {"stride", attributes_.stride},
                           {"padding", attributes_.padding}},
            .inputs = {{"x", x_}},
            .outputs = {{"y", y_}, {"argmax", argmax_}}};
  }
  void forward(Run& run) const override {
    run.backend().max_pool_forward(run[y_], run[argmax_], run[x_], attributes_);
  }
  void backward(Run& run) const override {
    run.backend().max_pool_backward(run.d(x_), run.dy(y_), run[argmax_], attributes_);
  }

 private:
  Value y_, argmax_, x_;
  MaxPoolAttributes attributes_;
};

}  // namespace

Value max_pool(Graph& graph, Value x, const MaxPoolAttributes& attributes) {
  const Shape in = graph.shape(x);
  const auto [kernel, stride, padding] = attributes;
  require(in.rank() == 4, "max_pool: Expected an input (B, H, W, C) but received ", in);
  require(kernel >= 1 && kernel <= 15 && stride >= 1 && padding >= 0 && 2 * padding <= kernel,
          "max_pool: Expected a kernel of 1 to 15 and a padding of at most half of it");
  require(in[1] + 2 * padding >= kernel && in[2] + 2 * padding >= kernel,
          "max_pool: the kernel is larger than the padded input ", in);
  const Shape out{in[0], (in[1] + 2 * padding - kernel) / stride + 1,
                  (in[2] + 2 * padding - kernel) / stride + 1, in[3]};
  const Value y = graph.activation_tensor(out);
  const Value argmax = graph.saved(out, DType::U8);
  graph.add(std::make_unique<MaxPool>(y, argmax, x, attributes), {.kept = {argmax}});
  return y;
}

}  // namespace countenance
