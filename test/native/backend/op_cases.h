#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "harness/harness.h"

// The generic test of a backend operation. A case gives its inputs, its outputs, the call of the
// backend and a plain reference in double precision; run_case() (op_driver.cpp) then checks, on
// every backend of this machine:
//   - the outputs against the reference;
//   - the gradients against finite differences of the reference, in coordinates and directions;
//   - the same bits for 1, 2 and 3 threads;
//   - the gradient modes Overwrite, Accumulate and Ignore;
//   - that nothing outside the outputs is written (guards around every buffer, inputs unchanged)
//     and that nothing depends on what outputs and workspace held before.
//
//   OP_CASES(relu, "relu_forward", "relu_backward") {
//     for (int64_t n : {1, 17, 1000}) {
//       OpCase c(text("n=", n));
//       c.input("x", {n}, normal(n));
//       c.output("y", {n});
//       c.forward = [](Backend& b, OpTensors& t) { b.relu_forward(t["y"], t["x"]); };
//       c.backward = [](Backend& b, OpTensors& t) {
//         b.relu_backward(t.gradient("x"), t.cotangent("y"), t["y"]);
//       };
//       c.reference = [](OpValues& v) {
//         for (size_t i = 0; i < v["x"].size(); ++i) v["y"][i] = std::max(0.0, v["x"][i]);
//       };
//       run_case(c);
//     }
//   }
//
// The method names in OP_CASES are the Backend methods that the group covers; a test that checks
// methods in its own way declares COVERS(name, "method", ...). A method with neither fails a test.

namespace countenance::test {

// The double values of a case, by name: inputs (rounded to float) and outputs. For an output that
// updates an input in place, the reference reads the old value and writes the new one.
using OpValues = std::map<std::string, std::vector<double>>;

// What the lambdas of a case see of the device.
class OpTensors {
 public:
  Tensor operator[](const std::string& name) const { return find(tensors, name); }
  Tensor cotangent(const std::string& output) const { return find(cotangents, output); }
  Gradient gradient(const std::string& input) const {
    const auto found = gradients.find(input);
    ensure(found != gradients.end(), "the case has no differentiable input ", input);
    return found->second;
  }

  Tensor workspace;
  std::map<std::string, Tensor> tensors;
  std::map<std::string, Tensor> cotangents;
  std::map<std::string, Gradient> gradients;

 private:
  static Tensor find(const std::map<std::string, Tensor>& all, const std::string& name) {
    const auto found = all.find(name);
    ensure(found != all.end(), "the case has no tensor ", name);
    return found->second;
  }
};

struct OpInput {
  std::string name;
  Shape shape;
  std::vector<float> values;
  bool differentiable = true;
  bool matrix = false;  // a parameter in the backend's packed layout
  DType dtype = DType::F32;
};

struct OpOutput {
  std::string name;  // an input's name: updated in place
  Shape shape;
  DType dtype = DType::F32;
  // The gradient of the test's scalar with respect to this output: empty for random values, zeros
  // for outputs that pass no gradient on.
  std::vector<double> cotangent{};
};

class OpCase {
 public:
  explicit OpCase(std::string case_name) : name(std::move(case_name)) {}

  OpInput& input(const std::string& input_name, const Shape& shape, std::vector<float> values) {
    inputs.push_back({input_name, shape, std::move(values)});
    return inputs.back();
  }
  // An input without a gradient.
  OpInput& constant(const std::string& input_name, const Shape& shape, std::vector<float> values) {
    inputs.push_back({input_name, shape, std::move(values), false});
    return inputs.back();
  }
  // A convolution's or linear layer's weight, in PyTorch's shape and order.
  OpInput& matrix(const std::string& input_name, const Shape& shape, std::vector<float> values) {
    inputs.push_back({input_name, shape, std::move(values), true, true});
    return inputs.back();
  }
  OpOutput& output(const std::string& output_name, const Shape& shape) {
    outputs.push_back({output_name, shape});
    return outputs.back();
  }
  // An output without a gradient (statistics, an argmax, an updated state).
  OpOutput& side_output(const std::string& output_name, const Shape& shape,
                        DType dtype = DType::F32) {
    outputs.push_back({output_name, shape, dtype,
                       std::vector<double>(static_cast<size_t>(shape.elements()), 0.0)});
    return outputs.back();
  }

  std::string name;
  std::vector<OpInput> inputs;
  std::vector<OpOutput> outputs;
  std::function<size_t(Backend&)> workspace;  // bytes; none when empty
  std::function<void(Backend&, OpTensors&)> forward;
  std::function<void(Backend&, OpTensors&)> backward;  // empty for operations without a gradient
  std::function<void(OpValues&)> reference;

  // |computed - reference| <= tolerance (|reference| + rms(reference)), element by element. The
  // default is 16 roundings of float: elementwise operations and short sums.
  double forward_tolerance = 1e-6;
  double backward_tolerance = 2e-6;
  // Added to the allowed error, for results that nearly cancel: the rounding error of their terms.
  double forward_noise = 0;
  double backward_noise = 0;
  // The tolerance on backends that compute in bfloat16: two of its roundings.
  double bf16_tolerance = 4e-3;
};

// Runs the case on every backend of this machine.
void run_case(const OpCase& c);

// Seeded values: the same on every machine, a different sequence for each `name`.
std::vector<float> normal(int64_t n, const std::string& name = "x", double mean = 0,
                          double deviation = 1);
std::vector<float> uniform(int64_t n, double low, double high, const std::string& name = "x");
std::vector<float> repeated(int64_t n, float value);

// The backends that the tests are built for, here those of this machine (tested_backends.cpp); for
// tests that call them in their own way.
struct TestedBackend {
  std::string name;
  // threads: 1, 2 or 3; anything else that a result must not depend on varies with it.
  std::function<std::unique_ptr<Backend>(int threads)> make;
  Precision precision = Precision::FP32;           // of the activations that run_case() passes
  std::function<void(int threads)> use = nullptr;  // called before a cached backend is used again
  // If false, no derivatives, orders or single modes: enough for a sanitizer to see every access.
  bool thorough = true;
  // Another backend, with float32, with which run_case() compares the results, and the allowed
  // normalised error.
  std::function<Backend&()> reference = nullptr;
  double parity = 0;
};
const std::vector<TestedBackend>& all_tested_backends();
// Those of precision FP32.
const std::vector<TestedBackend>& tested_backends();

// The device is emulated, a thousand times slower: large cases that repeat what smaller ones show
// are reduced.
extern const bool kEmulated;

// Guard bytes before and after a GuardedBuffer; 0 if the device guards its allocations itself.
extern const size_t kGuardBytes;

// A buffer of a backend with guards on both sides: NaN inside, 0xAB bytes around them.
class GuardedBuffer {
 public:
  GuardedBuffer(Backend& backend, size_t bytes);
  void* data() const;
  bool guards_intact() const;

 private:
  Backend& backend_;
  size_t bytes_;
  std::unique_ptr<DeviceBlock> block_;
};

std::vector<std::string>& covered_methods();
bool cover(std::initializer_list<const char*> methods);

}  // namespace countenance::test

#define COVERS(name, ...) \
  [[maybe_unused]] static const bool covers_##name = ::countenance::test::cover({__VA_ARGS__})

#define OP_CASES(name, ...)  \
  COVERS(name, __VA_ARGS__); \
  TEST(op_##name)
