#include "graph/graph.h"

#include <algorithm>
#include <string>

namespace countenance {

namespace {

bool is_absent(Value value) { return !value; }
template <class T>
bool is_absent(const std::pair<const char*, T>& named) {
  return !named.second;
}

template <class T>
void drop_absent(std::vector<T>& items) {
  items.erase(
      std::remove_if(items.begin(), items.end(), [](const T& item) { return is_absent(item); }),
      items.end());
}

}  // namespace

void require_precision(const Backend& backend, Precision precision) {
  const auto supports = [&](const DeviceKind& kind) {
    const std::vector<Precision>& all = kind.precisions;
    return std::find(all.begin(), all.end(), precision) != all.end();
  };
  if (supports(backend.kind())) return;
  std::string others;
  for (const DeviceKind* kind : device_kinds()) {
    if (supports(*kind)) others.append(others.empty() ? "" : " or ").append(kind->name);
  }
  fail(code::kUnsupported, "precision ", name_of(precision), " is not supported by ",
       backend.description(), ": it needs device ", others);
}

Value Graph::input(const Shape& shape, DType dtype) { return tensor(shape, dtype); }

Value Graph::tensor(const Shape& shape, DType dtype) {
  entries_.push_back({shape, dtype});
  return {static_cast<int>(entries_.size()) - 1};
}

void Graph::add(std::unique_ptr<Op> op, OpNeeds needs) {
  OpDescription description = op->describe();
  drop_absent(description.inputs);
  drop_absent(description.outputs);
  drop_absent(description.parameters);
  drop_absent(needs.kept);
  const auto& [attributes, inputs, outputs, parameters] = description;
  bool wants_gradient = std::any_of(parameters.begin(), parameters.end(), [&](const auto& named) {
    return (*parameters_)[named.second].trainable();
  });
  for (size_t i = 0; i < inputs.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      ensure(inputs[i].second.index != inputs[j].second.index, op->type(),
             " takes one value twice");
    }
    wants_gradient = wants_gradient || entry(inputs[i].second).wants_gradient;
  }
  for (const auto& [role, y] : outputs) {
    Entry& made = entries_[static_cast<size_t>(y.index)];
    ensure(made.producer < 0, op->type(), " writes a value that another op writes");
    made.producer = static_cast<int>(nodes_.size());
    made.wants_gradient = training() && wants_gradient;
  }
  nodes_.push_back({std::move(op), std::move(description), std::move(needs)});
}

}  // namespace countenance
