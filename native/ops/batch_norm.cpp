#include "ops/ops.h"

namespace countenance {

namespace {

struct NormParameters {
  ParameterId weight, bias, running_mean, running_var;
};

OpDescription::Named<ParameterId> describe_parameters(const NormParameters& p) {
  return {{"weight", p.weight},
          {"bias", p.bias},
          {"running_mean", p.running_mean},
          {"running_var", p.running_var}};
}

OpDescription::Named<Attribute> describe_attributes(const BatchNormAttributes& attributes) {
  return {{"eps", attributes.eps}, {"activation", attributes.activation}};
}

class BatchNorm final : public Op {
 public:
  BatchNorm(Value y, Value mean, Value rstd, Value x, Value residual, Value statistics,
            NormParameters parameters, BatchNormAttributes attributes)
      : y_(y),
        mean_(mean),
        rstd_(rstd),
        x_(x),
        residual_(residual),
        statistics_(statistics),
        p_(parameters),
        attributes_(attributes) {}

  const char* type() const override { return "batch_norm"; }

  OpDescription describe() const override {
    return {.attributes = describe_attributes(attributes_),
            .inputs = {{"x", x_}, {"residual", residual_}, {"statistics", statistics_}},
            .outputs = {{"y", y_}, {"mean", mean_}, {"rstd", rstd_}},
            .parameters = describe_parameters(p_)};
  }

  void forward(Run& run) const override {
    if (statistics_) {
      return run.backend().batch_norm_from_statistics({.y = run[y_],
                                                       .mean = run[mean_],
                                                       .rstd = run[rstd_],
                                                       .running_mean = run[p_.running_mean],
                                                       .running_var = run[p_.running_var],
                                                       .x = run[x_],
                                                       .weight = run[p_.weight],
                                                       .bias = run[p_.bias],
                                                       .residual = run[residual_]},
                                                      run[statistics_], attributes_);
    }
    run.backend().batch_norm_forward({.y = run[y_],
                                      .mean = run[mean_],
                                      .rstd = run[rstd_],
                                      .running_mean = run[p_.running_mean],
                                      .running_var = run[p_.running_var],
                                      .x = run[x_],
                                      .weight = run[p_.weight],
                                      .bias = run[p_.bias],
                                      .residual = run[residual_],
                                      .workspace = run.workspace()},
                                     attributes_);
  }

  void backward(Run& run) const override {
    const Tensor y = attributes_.activation == Activation::None ? Tensor{} : run[y_];
    run.backend().batch_norm_backward({.dx = run.d(x_),
                                       .dresidual = run.d(residual_),
                                       .dweight = run.d(p_.weight),
                                       .dbias = run.d(p_.bias),
                                       .dy = run.dy(y_),
                                       .x = run[x_],
                                       .y = y,
                                       .mean = run[mean_],
                                       .rstd = run[rstd_],
                                       .weight = run[p_.weight],
                                       .workspace = run.workspace()},
                                      attributes_);
  }

 private:
  Value y_, mean_, rstd_, x_, residual_, statistics_;
  NormParameters p_;
  BatchNormAttributes attributes_;
};

class BatchNormEvaluation final : public Op {
 public:
  BatchNormEvaluation(Value y, Value scale, Value shift, Value x, Value residual,
                      NormParameters parameters, BatchNormAttributes attributes)
      : y_(y),
        scale_(scale),
        shift_(shift),
        x_(x),
        residual_(residual),
        p_(parameters),
        attributes_(attributes) {}

  const char* type() const override { return "batch_norm_evaluation"; }

  OpDescription describe() const override {
    return {.attributes = describe_attributes(attributes_),
            .inputs = {{"x", x_}, {"residual", residual_}},
            .outputs = {{"y", y_}, {"scale", scale_}, {"shift", shift_}},
            .parameters = describe_parameters(p_)};
  }

  void forward(Run& run) const override {
    run.backend().batch_norm_fold({.scale = run[scale_],
                                   .shift = run[shift_],
                                   .weight = run[p_.weight],
                                   .bias = run[p_.bias],
                                   .running_mean = run[p_.running_mean],
                                   .running_var = run[p_.running_var]},
                                  attributes_);
    run.backend().scale_shift_forward(
        run[y_], run[x_], {run[scale_], run[shift_], run[residual_], attributes_.activation});
  }

  void backward(Run&) const override { ensure(false, "batch_norm_evaluation has no backward"); }

 private:
  Value y_, scale_, shift_, x_, residual_;
  NormParameters p_;
  BatchNormAttributes attributes_;
};

}  // namespace

Value batch_norm(Graph& graph, Value x, const std::string& name, const BatchNormOptions& options) {
  const Shape shape = graph.shape(x);
  const Shape channels{shape.channels()};
  require(!options.residual || graph.shape(options.residual) == shape, name,
          ": Expected a residual of shape ", shape);
  const NormParameters p{
      graph.parameter(name + ".weight", channels, ParameterKind::Vector, Initializer::ones()),
      graph.parameter(name + ".bias", channels, ParameterKind::Vector, Initializer::zeros()),
      graph.parameter(name + ".running_mean", channels, ParameterKind::Statistic,
                      Initializer::zeros()),
      graph.parameter(name + ".running_var", channels, ParameterKind::Statistic,
                      Initializer::ones())};
  const BatchNormAttributes attributes{options.eps, options.momentum, options.activation};
  const Value y = graph.activation_tensor(shape);
  const Value first = graph.tensor(channels, DType::F32);   // mean, or the folded scale
  const Value second = graph.tensor(channels, DType::F32);  // rstd, or the folded shift
  if (!graph.training()) {
    graph.add(std::make_unique<BatchNormEvaluation>(y, first, second, x, options.residual, p,
                                                    attributes));
    return y;
  }
  require(shape.rows() > 1, name,
          ": Expected more than one value per channel when training but received an input ", shape,
          "; use a larger batch");
  const size_t bytes = graph.backend().batch_norm_workspace(shape);
  std::vector<Value> kept{x, first, second};
  if (options.activation != Activation::None) kept.push_back(y);
  graph.add(std::make_unique<BatchNorm>(y, first, second, x, options.residual, options.statistics,
                                        p, attributes),
            {.kept = kept, .forward_workspace = bytes, .backward_workspace = bytes});
  return y;
}

}  // namespace countenance
