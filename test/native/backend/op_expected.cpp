#include "backend/op_expected.h"

#include "core/philox.h"

namespace countenance::test {

namespace {

// Small enough that hardly any element crosses a kink of relu or of a maximum; in double the
// differences still have 9 digits.
constexpr double kStep = 1e-6;
// Up to this many elements, an input's gradient is checked in every coordinate.
constexpr size_t kAllCoordinates = 300;
constexpr size_t kSomeCoordinates = 24;
constexpr int kDirections = 4;

OpValues with_outputs(const OpCase& c, OpValues values) {
  for (const OpOutput& o : c.outputs) {
    values.try_emplace(o.name, static_cast<size_t>(o.shape.elements()), 0.0);
  }
  return values;
}

double scalar(const OpCase& c, const Expected& expected, OpValues values) {
  values = with_outputs(c, std::move(values));
  c.reference(values);
  double sum = 0;
  for (const OpOutput& o : c.outputs) sum += dot(expected.cotangents.at(o.name), values[o.name]);
  return sum;
}

void add_derivative(const OpCase& c, Expected& expected, const OpValues& inputs,
                    const std::string& input, std::vector<double> direction, bool coordinate) {
  OpValues plus = inputs;
  OpValues minus = inputs;
  for (size_t i = 0; i < direction.size(); ++i) {
    plus[input][i] += kStep * direction[i];
    minus[input][i] -= kStep * direction[i];
  }
  const double value = (scalar(c, expected, plus) - scalar(c, expected, minus)) / (2 * kStep);
  expected.derivatives.push_back({input, std::move(direction), value, coordinate});
}

}  // namespace

Expected expect(const OpCase& c, bool with_derivatives) {
  Expected expected;
  OpValues inputs;
  for (const OpInput& i : c.inputs) {
    ensure(static_cast<int64_t>(i.values.size()) == i.shape.elements(), c.name, ": ", i.name,
           " has ", i.values.size(), " values for the shape ", i.shape);
    inputs[i.name].assign(i.values.begin(), i.values.end());
  }
  for (const OpOutput& o : c.outputs) {
    std::vector<double>& cotangent = expected.cotangents[o.name];
    if (!o.cotangent.empty()) {
      cotangent = o.cotangent;
    } else {
      const std::vector<float> random = normal(o.shape.elements(), c.name + ".d" + o.name);
      cotangent.assign(random.begin(), random.end());
    }
  }
  expected.values = with_outputs(c, inputs);
  c.reference(expected.values);
  if (!c.backward || !with_derivatives) return expected;
  for (const OpInput& i : c.inputs) {
    if (!i.differentiable) continue;
    const size_t n = i.values.size();
    const RandomStream random(hash_name(c.name), hash_name(i.name));
    const size_t coordinates = n <= kAllCoordinates ? n : kSomeCoordinates;
    for (size_t k = 0; k < coordinates; ++k) {
      std::vector<double> direction(n, 0.0);
      direction[n <= kAllCoordinates ? k : random.bits(k) % n] = 1.0;
      add_derivative(c, expected, inputs, i.name, std::move(direction), true);
    }
    for (int d = 0; d < kDirections; ++d) {
      std::vector<double> direction(n);
      for (size_t k = 0; k < n; ++k) {
        direction[k] = random.bits(1000 + static_cast<uint64_t>(d) * n + k) & 1 ? 1.0 : -1.0;
      }
      add_derivative(c, expected, inputs, i.name, std::move(direction), false);
    }
  }
  return expected;
}

}  // namespace countenance::test
