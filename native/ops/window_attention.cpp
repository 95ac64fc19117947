#include "ops/ops.h"

namespace countenance {

namespace {

class WindowAttention final : public Op {
 public:
  WindowAttention(Value y, Value log_sum_exp, Value qkv, ParameterId bias_table,
                  WindowAttentionAttributes attributes)
      : y_(y),
        log_sum_exp_(log_sum_exp),
        qkv_(qkv),
        bias_table_(bias_table),
        attributes_(attributes) {}

  const char* type() const override { return "window_attention"; }

  OpDescription describe() const override {
    return {.attributes = {{"heads", attributes_.heads},
                           {"window", attributes_.window},
                           {"shift", attributes_.shift}},
            .inputs = {{"qkv", qkv_}},
            .outputs = {{"y", y_}, {"log_sum_exp", log_sum_exp_}},
            .parameters = {{"bias_table", bias_table_}}};
  }

  void forward(Run& run) const override {
    run.backend().window_attention_forward(run[y_], run[log_sum_exp_], run[qkv_], run[bias_table_],
                                           attributes_, run.workspace());
  }

  void backward(Run& run) const override {
    run.backend().window_attention_backward({.dqkv = run.d(qkv_),
                                             .dbias_table = run.d(bias_table_),
                                             .dy = run.dy(y_),
                                             .qkv = run[qkv_],
                                             .y = run[y_],
                                             .log_sum_exp = run[log_sum_exp_],
                                             .bias_table = run[bias_table_],
                                             .workspace = run.workspace()},
                                            attributes_);
  }

 private:
  Value y_, log_sum_exp_, qkv_;
  ParameterId bias_table_;
  WindowAttentionAttributes attributes_;
};

}  // namespace

Value window_attention(Graph& graph, Value qkv, const std::string& name,
                       const WindowAttentionAttributes& attributes) {
  const Shape in = graph.shape(qkv);
  const auto [heads, window, shift] = attributes;
  require(in.rank() == 4 && heads >= 1 && in[3] % (3 * heads) == 0, name,
          ": Expected (B, H, W, 3C) with C divisible by ", heads, " heads but received ", in);
  require(window >= 1 && in[1] % window == 0 && in[2] % window == 0, name,
          ": Expected a grid divisible by the window of ", window, " but received ", in);
  require(shift >= 0 && shift < window, name, ": Expected a shift in [0, ", window,
          ") but received ", shift);
  const ParameterId table = graph.parameter(
      name + ".relative_position_bias_table", Shape{(2 * window - 1) * (2 * window - 1), heads},
      ParameterKind::Vector, Initializer::truncated_normal(0.02f));
  const Value y = graph.activation_tensor(Shape{in[0], in[1], in[2], in[3] / 3});
  const Value log_sum_exp = graph.saved(Shape{in[0], heads, in[1], in[2]}, DType::F32);
  const size_t bytes = graph.backend().window_attention_workspace(in, attributes);
  graph.add(
      std::make_unique<WindowAttention>(y, log_sum_exp, qkv, table, attributes),
      {.kept = {qkv, y, log_sum_exp}, .forward_workspace = bytes, .backward_workspace = bytes});
  return y;
}

}  // namespace countenance
