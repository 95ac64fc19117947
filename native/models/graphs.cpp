#include "models/graphs.h"

#include "losses/objective.h"

namespace countenance {

GraphEnds evaluation_graph(Graph& graph, const ModelConfig& config, int64_t batch) {
  const ImageInput input = image_input(graph, batch, config.input_size);
  const Value text = graph.input(Shape{config.classes, kEmbedding}, DType::F32);
  const auto [expression, neutral] = ke2nt(graph, config, input.images);
  const Value logits = cosine_logits(graph, expression, text, config.logit_scale);
  for (Value value : {logits, expression, neutral}) graph.output(value);
  return {{{"images", input.images}, {"pixels", input.pixels}, {"text", text}},
          {{"logits", logits}, {"expression", expression}, {"neutral", neutral}}};
}

GraphEnds training_graph(Graph& graph, const ModelConfig& config, int64_t batch) {
  const ImageInput input = image_input(graph, batch, config.input_size);
  const Value text = graph.input(Shape{config.classes, kEmbedding}, DType::F32);
  const Value targets = graph.input(Shape{batch, config.classes}, DType::F32);
  const auto [expression, neutral] = ke2nt(graph, config, input.images);
  const Objective objective =
      ke2nt_objective(graph, expression, neutral, targets, text,
                      {.logit_scale = config.logit_scale, .neutral = config.neutral});
  graph.output(objective.losses);
  return {
      {{"images", input.images}, {"pixels", input.pixels}, {"text", text}, {"targets", targets}},
      {{"losses", objective.losses}, {"logits", objective.logits}}};
}

}  // namespace countenance
