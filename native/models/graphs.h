#pragma once

#include <utility>
#include <vector>

#include "models/image_input.h"

namespace countenance {

// What a graph takes and gives, by role.
struct GraphEnds {
  std::vector<std::pair<const char*, Value>> inputs;
  std::vector<std::pair<const char*, Value>> outputs;
};

// Images (B, S, S, 3), text (K, D) -> logits (B, K), expression and neutral (B, D).
GraphEnds evaluation_graph(Graph& graph, const ModelConfig& config, int64_t batch);

// Images (B, S, S, 3), text (K, D), targets (B, K) -> losses; the objective's weights are 1.
GraphEnds training_graph(Graph& graph, const ModelConfig& config, int64_t batch);

}  // namespace countenance
