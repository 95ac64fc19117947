#include "graph/graph.h"

#include <algorithm>

namespace countenance {

namespace {

template <class T>
void drop_absent(std::vector<T>& items) {
  items.erase(std::remove_if(items.begin(), items.end(), [](T item) { return !item; }),
              items.end());
}

}  // namespace

void require_precision(const Backend& backend, Precision precision) {
  if (backend.supports(precision)) return;
  fail(code::kUnsupported, "precision bf16 is not supported by ", backend.description(),
       ": it needs an NVIDIA GPU (device cuda); use fp32 here");
}

Value Graph::input(const Shape& shape, DType dtype) { return tensor(shape, dtype); }

Value Graph::tensor(const Shape& shape, DType dtype) {
  entries_.push_back({shape, dtype});
  return {static_cast<int>(entries_.size()) - 1};
}

void Graph::add(std::unique_ptr<Op> op, OpUse use) {
  drop_absent(use.inputs);
  drop_absent(use.outputs);
  drop_absent(use.kept);
  drop_absent(use.parameters);
  bool wants_gradient = std::any_of(use.parameters.begin(), use.parameters.end(),
                                    [&](ParameterId id) { return (*parameters_)[id].trainable(); });
  for (size_t i = 0; i < use.inputs.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      ensure(use.inputs[i].index != use.inputs[j].index, op->type(), " takes one value twice");
    }
    wants_gradient = wants_gradient || entry(use.inputs[i]).wants_gradient;
  }
  for (Value y : use.outputs) {
    Entry& made = entries_[static_cast<size_t>(y.index)];
    ensure(made.producer < 0, op->type(), " writes a value that another op writes");
    made.producer = static_cast<int>(nodes_.size());
    made.wants_gradient = training() && wants_gradient;
  }
  nodes_.push_back({std::move(op), std::move(use)});
}

}  // namespace countenance
