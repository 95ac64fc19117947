#include "losses/objective.h"

namespace countenance {

namespace {

// Value and gradients are computed in one pass, so forward saves the gradients and backward passes
// them on.
class Ke2ntObjective final : public Op {
 public:
  struct Values {
    Value losses, logits, dexpression, dneutral;  // outputs
    Value expression, neutral, targets, text;     // inputs
  };

  Ke2ntObjective(const Values& values, const ObjectiveAttributes& attributes)
      : v_(values), attributes_(attributes) {}

  const char* type() const override { return "ke2nt_objective"; }

  OpDescription describe() const override {
    const bool pairwise = attributes_.contrast == Contrast::Pairwise;
    return {.attributes = {{"logit_scale", attributes_.logit_scale},
                           {"neutral", attributes_.neutral},
                           {"supervised_weight", attributes_.weight(kSupervised)},
                           {"transformation_weight", attributes_.weight(kTransformation)},
                           {"contrast_weight", attributes_.weight(kContrast)},
                           {"contrast", pairwise ? "pairwise" : "diagonal"},
                           {"label_smoothing", attributes_.label_smoothing}},
            .inputs = {{"expression", v_.expression},
                       {"neutral", v_.neutral},
                       {"targets", v_.targets},
                       {"text", v_.text}},
            .outputs = {{"losses", v_.losses},
                        {"logits", v_.logits},
                        {"dexpression", v_.dexpression},
                        {"dneutral", v_.dneutral}}};
  }

  void forward(Run& run) const override {
    run.backend().objective({.losses = run[v_.losses],
                             .logits = run[v_.logits],
                             .dexpression = overwrite(run[v_.dexpression]),
                             .dneutral = overwrite(run[v_.dneutral]),
                             .expression = run[v_.expression],
                             .neutral = run[v_.neutral],
                             .targets = run[v_.targets],
                             .text = run[v_.text],
                             .workspace = run.workspace()},
                            attributes_);
  }

  void backward(Run& run) const override {
    hand_on(run, run.d(v_.expression), run[v_.dexpression]);
    hand_on(run, run.d(v_.neutral), run[v_.dneutral]);
  }

 private:
  static void hand_on(Run& run, Gradient dx, Tensor saved) {
    if (!dx.wanted()) return;
    if (dx.accumulates()) {
      run.backend().add_forward(dx.tensor, dx.tensor, saved, {});
    } else {
      run.backend().copy(dx.tensor, saved);
    }
  }

  Values v_;
  ObjectiveAttributes attributes_;
};

class CosineLogits final : public Op {
 public:
  CosineLogits(Value logits, Value features, Value text, float scale)
      : logits_(logits), features_(features), text_(text), scale_(scale) {}
  const char* type() const override { return "cosine_logits"; }

  OpDescription describe() const override {
    return {.attributes = {{"scale", scale_}},
            .inputs = {{"features", features_}, {"text", text_}},
            .outputs = {{"logits", logits_}}};
  }
  void forward(Run& run) const override {
    run.backend().cosine_logits(run[logits_], run[features_], run[text_], scale_);
  }
  void backward(Run&) const override { ensure(false, "cosine_logits has no backward"); }

 private:
  Value logits_, features_, text_;
  float scale_;
};

void check_head(const Graph& graph, Value features, Value text) {
  const Shape& f = graph.shape(features);
  const Shape& t = graph.shape(text);
  require(f.rank() == 2 && t.rank() == 2 && f[1] == t[1],
          "Expected features (B, D) and text (K, D) but received ", f, " and ", t);
}

}  // namespace

Objective ke2nt_objective(Graph& graph, Value expression, Value neutral, Value targets, Value text,
                          const ObjectiveAttributes& attributes) {
  check_head(graph, expression, text);
  const Shape features = graph.shape(expression);
  const Shape logits_shape{features[0], graph.shape(text)[0]};
  require(graph.shape(neutral) == features, "Expected neutral features ", features);
  require(graph.shape(targets) == logits_shape, "Expected targets ", logits_shape, " but received ",
          graph.shape(targets));
  require(attributes.neutral >= 0 && attributes.neutral < logits_shape[1],
          "Expected a neutral class in [0, ", logits_shape[1], ") but received ",
          attributes.neutral);
  const Ke2ntObjective::Values v{.losses = graph.tensor(Shape{kObjectiveValues}, DType::F32),
                                 .logits = graph.tensor(logits_shape, DType::F32),
                                 .dexpression = graph.saved(features, DType::F32),
                                 .dneutral = graph.saved(features, DType::F32),
                                 .expression = expression,
                                 .neutral = neutral,
                                 .targets = targets,
                                 .text = text};
  graph.add(
      std::make_unique<Ke2ntObjective>(v, attributes),
      {.kept = {v.dexpression, v.dneutral},
       .forward_workspace = graph.backend().objective_workspace(features, graph.shape(text))});
  return {v.losses, v.logits};
}

Value cosine_logits(Graph& graph, Value features, Value text, float scale) {
  check_head(graph, features, text);
  const Value logits =
      graph.tensor(Shape{graph.shape(features)[0], graph.shape(text)[0]}, DType::F32);
  graph.add(std::make_unique<CosineLogits>(logits, features, text, scale));
  return logits;
}

}  // namespace countenance
