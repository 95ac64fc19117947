#pragma once

#include "backend/attributes.h"
#include "graph/graph.h"

namespace countenance {

struct Objective {
  Value losses;  // (kObjectiveValues), see ObjectiveValue
  Value logits;  // (B, K)
};

// docs/METHOD.md: L = lambda_s L_s + lambda_t L_t + lambda_c L_c. The last op of a training graph.
// expression, neutral (B, D); targets (B, K), rows summing to 1; text (K, D), raw and frozen.
Objective ke2nt_objective(Graph& graph, Value expression, Value neutral, Value targets, Value text,
                          const ObjectiveAttributes& attributes);

// logits (B, K) = scale hat(features) hat(text)^T: the text head of prediction.
Value cosine_logits(Graph& graph, Value features, Value text, float scale);

}  // namespace countenance
