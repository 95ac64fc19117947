#include "models/graphs.h"

namespace countenance {

EvaluationGraph evaluation_graph(Graph& graph, const ModelConfig& config, int64_t batch) {
  const ImageInput input = image_input(graph, batch, config.input_size);
  const Value text = graph.input(Shape{config.classes, kEmbedding}, DType::F32);
  const Features features = ke2nt(graph, config, input.images);
  const Value logits = cosine_logits(graph, features.expression, text, config.logit_scale);
  for (Value value : {logits, features.expression, features.neutral}) graph.output(value);
  return {input, text, features, logits};
}

TrainingGraph training_graph(Graph& graph, const ModelConfig& config, int64_t batch,
                             const ObjectiveAttributes& objective) {
  const ImageInput input = image_input(graph, batch, config.input_size);
  const Value text = graph.input(Shape{config.classes, kEmbedding}, DType::F32);
  const Value targets = graph.input(Shape{batch, config.classes}, DType::F32);
  const Features features = ke2nt(graph, config, input.images);
  ObjectiveAttributes attributes = objective;
  attributes.logit_scale = config.logit_scale;
  attributes.neutral = config.neutral;
  const Objective built =
      ke2nt_objective(graph, features.expression, features.neutral, targets, text, attributes);
  graph.output(built.losses);
  return {input, text, targets, built};
}

GraphEnds ends_of(const EvaluationGraph& built) {
  return {{{"images", built.input.images}, {"pixels", built.input.pixels}, {"text", built.text}},
          {{"logits", built.logits},
           {"expression", built.features.expression},
           {"neutral", built.features.neutral}}};
}

GraphEnds ends_of(const TrainingGraph& built) {
  return {{{"images", built.input.images},
           {"pixels", built.input.pixels},
           {"text", built.text},
           {"targets", built.targets}},
          {{"losses", built.objective.losses}, {"logits", built.objective.logits}}};
}

}  // namespace countenance
