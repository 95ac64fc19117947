#include "graph/description.h"

#include <algorithm>
#include <set>

#include "backend/cpu/cpu_backend.h"
#include "harness/harness.h"
#include "models/encoders.h"
#include "models/graphs.h"
#include "ops/ops.h"

namespace countenance::test {
namespace {

template <class T>
bool roles_differ(const OpDescription::Named<T>& items) {
  std::set<std::string> roles;
  for (const auto& [role, item] : items) roles.insert(role);
  return roles.size() == items.size();
}

// Walking the list meets every value before it is read, every parameter, and every name once.
void check_complete(const Graph& graph, const GraphEnds& ends) {
  std::set<int> known, read, used;
  for (const auto& [role, value] : ends.inputs) known.insert(value.index);
  for (const auto& [role, value] : ends.outputs) read.insert(value.index);
  const std::vector<std::string> names = node_names(graph);
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == graph.nodes().size());
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const auto& [attributes, inputs, outputs, parameters] = graph.nodes()[n].description;
    CHECK(roles_differ(attributes) && roles_differ(inputs) && roles_differ(outputs) &&
              roles_differ(parameters),
          names[n]);
    CHECK(!inputs.empty() && !outputs.empty(), names[n]);
    for (const auto& [role, value] : inputs) {
      CHECK(known.count(value.index) == 1, names[n], " reads ", role, " before it is there");
      read.insert(value.index);
    }
    for (const auto& [role, value] : outputs) {
      CHECK(known.insert(value.index).second, names[n], " writes ", role, " again");
    }
    for (const auto& [role, id] : parameters) used.insert(id.index);
  }
  CHECK(known.size() == graph.entries().size());
  CHECK(used.size() == graph.parameters().specs().size());
  for (const Graph::Node& node : graph.nodes()) {
    const auto& [role, y] = node.description.outputs.front();
    CHECK(read.count(y.index) == 1, "nobody reads ", role, " of a ", node.op->type());
  }
}

TEST(graph_descriptions_of_every_encoder_are_complete) {
  const auto backend = make_cpu_backend(1);
  for (const Encoder* encoder : encoders()) {
    const int64_t size = encoder->patch_sizes.empty() ? 48 : 224;
    const ModelConfig config{.backbone = encoder->name, .input_size = size, .patch_size = 4};
    for (Precision precision : {Precision::FP32, Precision::BF16}) {
      ParameterTable table(*backend);
      Graph evaluation(*backend, table, Mode::Evaluation, precision);
      check_complete(evaluation, ends_of(evaluation_graph(evaluation, config, 1)));
      table.freeze();
      Graph training(*backend, table, Mode::Training, precision);
      check_complete(training, ends_of(training_graph(training, config, 2)));
    }
  }
}

TEST(graph_descriptions_tell_the_roles_of_a_fused_op) {
  const auto backend = make_cpu_backend(1);
  ParameterTable table(*backend);
  Graph graph(*backend, table, Mode::Evaluation, Precision::FP32);
  const Value x = graph.input(Shape{1, 4, 4, 2}, DType::F32);
  const Value shortcut = graph.input(Shape{1, 2, 2, 3}, DType::F32);
  const Value y =
      conv_norm(graph, x, "a.conv", "a.norm", {.out_channels = 3, .stride = 2, .padding = 1},
                {.activation = Activation::Relu, .residual = shortcut, .eps = 0.25f});
  relu(graph, y);
  relu(graph, y);
  const auto& [attributes, inputs, outputs, parameters] = graph.nodes()[0].description;
  const auto number = [&](size_t i) { return std::get<double>(attributes[i].second.value); };
  CHECK(number(0) == 2 && number(1) == 1 && number(2) == 0.25);
  CHECK(std::get<std::string>(attributes[3].second.value) == "relu");
  CHECK(inputs[0].second.index == x.index && inputs[1].second.index == shortcut.index);
  CHECK(std::string(inputs[1].first) == "residual");
  CHECK(outputs[0].second.index == y.index);
  CHECK(parameters.size() == 5 && std::string(parameters[4].first) == "running_var");
  CHECK(table[parameters[4].second].name == "a.norm.running_var");
  const std::vector<std::string> expected{"a.conv", "a.conv.relu", "a.conv.relu_2"};
  CHECK(node_names(graph) == expected);
}

}  // namespace
}  // namespace countenance::test
