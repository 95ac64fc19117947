#pragma once

#include <memory>
#include <string>
#include <vector>

#include "graph/op.h"

namespace countenance {

// Throws ERR_UNSUPPORTED, with advice, for a precision the backend lacks.
void require_precision(const Backend& backend, Precision precision);

enum class Mode : uint8_t { Evaluation, Training };

// A static graph for one model, input size, batch and precision: a list of ops in execution order.
// Built by the functions of ops/ and losses/, run by a Plan.
class Graph {
 public:
  struct Node {
    std::unique_ptr<Op> op;
    OpDescription description;  // without absent items
    OpNeeds needs;
  };
  struct Entry {
    Shape shape;
    DType dtype;
    int producer = -1;  // node index, -1 for an input
    bool wants_gradient = false;
    bool is_output = false;
  };

  Graph(Backend& backend, ParameterTable& parameters, Mode mode, Precision precision)
      : backend_(&backend), parameters_(&parameters), mode_(mode), precision_(precision) {}

  bool training() const { return mode_ == Mode::Training; }
  // The dtype of activations: the precision is a type parameter of the whole graph.
  DType activation() const { return activation_dtype(precision_); }
  Backend& backend() const { return *backend_; }

  // A tensor the caller fills before each run; its memory is reused after its last reader.
  Value input(const Shape& shape, DType dtype);
  // Keeps a value until the end of the run, for the caller to read.
  void output(Value value) { entries_[static_cast<size_t>(value.index)].is_output = true; }

  // For the functions of ops/: a tensor, a parameter, the op itself. Tensors that only the backward
  // pass needs (`saved`) are absent in evaluation mode.
  Value tensor(const Shape& shape, DType dtype);
  Value activation_tensor(const Shape& shape) { return tensor(shape, activation()); }
  Value saved(const Shape& shape, DType dtype) {
    return training() ? tensor(shape, dtype) : Value{};
  }
  ParameterId parameter(const std::string& name, const Shape& shape, ParameterKind kind,
                        Initializer initializer) {
    return parameters_->declare(name, shape, kind, initializer);
  }
  void add(std::unique_ptr<Op> op, OpNeeds needs = {});

  const Shape& shape(Value value) const { return entry(value).shape; }
  const Entry& entry(Value value) const { return entries_[static_cast<size_t>(value.index)]; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Entry>& entries() const { return entries_; }
  const ParameterTable& parameters() const { return *parameters_; }

 private:
  Backend* backend_;
  ParameterTable* parameters_;
  Mode mode_;
  Precision precision_;
  std::vector<Node> nodes_;
  std::vector<Entry> entries_;
};

}  // namespace countenance
