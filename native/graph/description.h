#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace countenance {

// A name for each node, all different: that of its layer (what its parameters' names begin with),
// or, for an op without parameters, the name of the op that made its last input and its own type:
// "MLP.fc1.relu".
std::vector<std::string> node_names(const Graph& graph);

}  // namespace countenance
