#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "graph/parameters.h"

namespace countenance {

// A tensor of a graph: an activation, something an op saves for its backward pass, or an input.
struct Value {
  int index = -1;
  explicit operator bool() const { return index >= 0; }
};

// What an op sees while it runs: its tensors at their planned offsets.
class Run {
 public:
  virtual ~Run() = default;

  virtual Backend& backend() const = 0;
  // An absent Value or ParameterId gives an absent Tensor.
  virtual Tensor operator[](Value value) const = 0;
  virtual Tensor operator[](ParameterId id) const = 0;
  // The incoming gradient of an output.
  virtual Tensor dy(Value output) const = 0;
  // Where the gradient of an input goes and how it is written; ignored for absent values and those
  // that need none.
  virtual Gradient d(Value input) const = 0;
  virtual Gradient d(ParameterId id) const = 0;
  // The bytes the op requested for this direction; absent if none.
  virtual Tensor workspace() const = 0;
  // A stream of random numbers of this op in this step.
  virtual RandomKey random() const = 0;
};

// A number or a word that says how an op computes.
struct Attribute {
  Attribute(int64_t number) : value(static_cast<double>(number)) {}
  Attribute(float number) : value(static_cast<double>(number)) {}
  Attribute(const char* word) : value(word) {}
  Attribute(Activation activation);  // "none", "relu", "gelu"
  std::variant<double, std::string> value;
};

// What an op computes and from what, for the memory plan and for code that reads a graph instead of
// running it (exports, cost estimates). Each item is named after its role in the op's formula;
// absent items may be listed. The op's name is that of its first parameter without the last part.
struct OpDescription {
  template <class T>
  using Named = std::vector<std::pair<const char*, T>>;

  Named<Attribute> attributes = {};
  Named<Value> inputs = {};   // read by forward; backward writes the requested gradients
  Named<Value> outputs = {};  // written by forward, saved tensors included
  Named<ParameterId> parameters = {};
};

// What else an op needs.
struct OpNeeds {
  std::vector<Value> kept = {};  // inputs and outputs that backward reads again
  size_t forward_workspace = 0;  // bytes
  size_t backward_workspace = 0;
};

// One operation: its forward and backward are together in one file of ops/ or losses/. An op holds
// values and attributes, never memory.
class Op {
 public:
  virtual ~Op() = default;
  virtual const char* type() const = 0;
  virtual OpDescription describe() const = 0;
  virtual void forward(Run& run) const = 0;
  virtual void backward(Run& run) const = 0;
};

}  // namespace countenance
