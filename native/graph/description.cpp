#include "graph/description.h"

#include <unordered_set>

namespace countenance {

Attribute::Attribute(Activation activation)
    : value(activation == Activation::Relu   ? "relu"
            : activation == Activation::Gelu ? "gelu"
                                             : "none") {}

std::vector<std::string> node_names(const Graph& graph) {
  std::vector<std::string> names;
  std::unordered_set<std::string> taken;
  for (const Graph::Node& node : graph.nodes()) {
    const auto& [attributes, inputs, outputs, parameters] = node.description;
    std::string name = node.op->type();
    if (!parameters.empty()) {
      const std::string& first = graph.parameters()[parameters.front().second].name;
      name = first.substr(0, first.rfind('.'));
    } else if (!inputs.empty()) {
      const int producer = graph.entry(inputs.back().second).producer;
      if (producer >= 0) name = names[static_cast<size_t>(producer)] + "." + name;
    }
    std::string unique = name;
    for (int again = 2; !taken.insert(unique).second; ++again) {
      unique = name + "_" + std::to_string(again);
    }
    names.push_back(unique);
  }
  return names;
}

}  // namespace countenance
