#include "addon/graph_description.h"

#include <string>
#include <variant>

#include "addon/convert.h"
#include "addon/errors.h"
#include "addon/model_object.h"
#include "backend/cpu/cpu_backend.h"
#include "graph/description.h"
#include "models/graphs.h"

namespace countenance::addon {

namespace {

Napi::Value number(Napi::Env env, int64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

Napi::Array to_js(Napi::Env env, const Shape& shape) {
  auto array = Napi::Array::New(env, static_cast<size_t>(shape.rank()));
  for (int i = 0; i < shape.rank(); ++i) array.Set(static_cast<uint32_t>(i), number(env, shape[i]));
  return array;
}

Napi::Value to_js(Napi::Env env, const Attribute& attribute) {
  return std::visit([&](const auto& value) { return Napi::Value::From(env, value); },
                    attribute.value);
}

// { role: make(item), ... }
template <class T, class Make>
Napi::Object by_role(Napi::Env env, const OpDescription::Named<T>& items, Make make) {
  auto object = Napi::Object::New(env);
  for (const auto& [role, item] : items) object.Set(role, make(item));
  return object;
}

// [make(item), ...]
template <class T, class Make>
Napi::Array list(Napi::Env env, const std::vector<T>& items, Make make) {
  auto array = Napi::Array::New(env, items.size());
  for (uint32_t i = 0; i < items.size(); ++i) array.Set(i, make(items[i], i));
  return array;
}

Napi::Object to_js(Napi::Env env, const Graph& graph, const GraphEnds& ends) {
  const std::vector<std::string> names = node_names(graph);
  const auto index = [&](Value value) { return number(env, value.index); };
  const auto parameter = [&](ParameterId id) {
    return Napi::String::New(env, graph.parameters()[id].name);
  };
  const auto operation = [&](const Graph::Node& node, uint32_t i) {
    const auto& [attributes, inputs, outputs, parameters] = node.description;
    auto object = Napi::Object::New(env);
    object.Set("type", node.op->type());
    object.Set("name", names[i]);
    object.Set("attributes", by_role(env, attributes, [&](const Attribute& attribute) {
                 return to_js(env, attribute);
               }));
    object.Set("inputs", by_role(env, inputs, index));
    object.Set("outputs", by_role(env, outputs, index));
    object.Set("parameters", by_role(env, parameters, parameter));
    return object;
  };
  const auto value = [&](const Graph::Entry& entry, uint32_t) {
    auto object = Napi::Object::New(env);
    object.Set("shape", to_js(env, entry.shape));
    object.Set("dtype", name_of(entry.dtype));
    object.Set("wantsGradient", entry.wants_gradient);
    return object;
  };
  const auto spec = [&](const ParameterSpec& parameter_spec, uint32_t) {
    auto object = Napi::Object::New(env);
    object.Set("name", parameter_spec.name);
    object.Set("shape", to_js(env, parameter_spec.shape));
    object.Set("trainable", parameter_spec.trainable());
    return object;
  };
  auto result = Napi::Object::New(env);
  result.Set("operations", list(env, graph.nodes(), operation));
  result.Set("values", list(env, graph.entries(), value));
  result.Set("parameters", list(env, graph.parameters().specs(), spec));
  result.Set("inputs", by_role(env, ends.inputs, index));
  result.Set("outputs", by_role(env, ends.outputs, index));
  return result;
}

}  // namespace

Napi::Value describe_graph(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const Napi::Object options = read_object(info[0], "options");
    const ModelConfig config = read_config(options);
    const Mode mode =
        read_choice<Mode>(options.Get("mode"), "mode",
                          {{"evaluation", Mode::Evaluation}, {"training", Mode::Training}});
    const int64_t batch = read_integer(options.Get("batch"), "batch", 1, kMaxBatch);
    const Precision precision = read_precision(options.Get("precision"));
    validate(config);
    require(config.neutral < config.classes, "Expected a neutral class in [0, ", config.classes,
            ") but received ", config.neutral);
    // Only used for the sizes of packed weights and workspaces; nothing is allocated or run.
    const auto backend = make_cpu_backend(1);
    ParameterTable table(*backend);
    Graph graph(*backend, table, mode, precision);
    const GraphEnds ends = mode == Mode::Training ? ends_of(training_graph(graph, config, batch))
                                                  : ends_of(evaluation_graph(graph, config, batch));
    return to_js(env, graph, ends);
  });
}

}  // namespace countenance::addon
