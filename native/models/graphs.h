#pragma once

#include <utility>
#include <vector>

#include "losses/objective.h"
#include "models/image_input.h"

namespace countenance {

// What an evaluation computes: images (B, S, S, 3) and text (K, D) -> logits (B, K), features.
struct EvaluationGraph {
  ImageInput input;
  Value text;
  Features features;
  Value logits;
};

EvaluationGraph evaluation_graph(Graph& graph, const ModelConfig& config, int64_t batch);

// What a training step computes: images, text and targets (B, K) -> losses.
struct TrainingGraph {
  ImageInput input;
  Value text;
  Value targets;
  Objective objective;
};

// objective: its logit scale and neutral class are taken from config.
TrainingGraph training_graph(Graph& graph, const ModelConfig& config, int64_t batch,
                             const ObjectiveAttributes& objective = {});

// A graph's inputs and outputs, by role.
struct GraphEnds {
  std::vector<std::pair<const char*, Value>> inputs;
  std::vector<std::pair<const char*, Value>> outputs;
};

GraphEnds ends_of(const EvaluationGraph& built);
GraphEnds ends_of(const TrainingGraph& built);

}  // namespace countenance
