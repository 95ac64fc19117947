#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace countenance {

// A name for each node, all different: the name of its layer (the prefix of its parameters' names)
// or, for an op without parameters, the name of the op that made its last input plus its own type:
// "MLP.fc1.relu".
std::vector<std::string> node_names(const Graph& graph);

}  // namespace countenance
