#include "models/encoders.h"
#include "ops/ops.h"

namespace countenance {

namespace {
constexpr int64_t kHidden = 128;
}

Value neutral_transformation(Graph& graph, Value expression, const std::string& name) {
  const Value hidden = relu(graph, linear(graph, expression, name + ".fc1",
                                          {.out_features = kHidden,
                                           .weight = Initializer::fan_in(kEmbedding),
                                           .bias_initializer = Initializer::fan_in(kEmbedding)}));
  return linear(graph, hidden, name + ".fc2",
                {.out_features = kEmbedding,
                 .weight = Initializer::fan_in(kHidden),
                 .bias_initializer = Initializer::fan_in(kHidden)});
}

}  // namespace countenance
