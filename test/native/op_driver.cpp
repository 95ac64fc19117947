#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <set>
#include <sstream>

#include "core/philox.h"
#include "op_cases.h"

namespace countenance::test {

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr uint8_t kGuardByte = 0xAB;
// Small enough that hardly an element crosses a kink of relu or of a maximum; in double the
// differences still have 9 digits.
constexpr double kStep = 1e-6;
// Up to so many elements, an input's gradient is checked in every coordinate.
constexpr size_t kAllCoordinates = 300;
constexpr size_t kSomeCoordinates = 24;
constexpr int kDirections = 4;

using Values = std::map<std::string, std::vector<float>>;
using Modes = std::map<std::string, GradientMode>;

// One directional derivative of the case's scalar: coordinate i of an input, or a direction.
struct Derivative {
  std::string input;
  std::vector<double> direction;
  double value;
  bool coordinate;
};

struct Expected {
  OpValues values;
  std::map<std::string, std::vector<double>> cotangents;
  std::vector<Derivative> derivatives;
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double root_mean_square(const std::vector<double>& a) {
  return a.empty() ? 0 : std::sqrt(dot(a, a) / static_cast<double>(a.size()));
}

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

Expected expect(const OpCase& c) {
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
  if (!c.backward) return expected;
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

// ---- bfloat16: activations are 16 bits wide, everything else stays float ----

// The names that cases give to activations.
bool is_activation(const std::string& name) {
  static const std::set<std::string> names = {"x",   "y",        "a",          "b",      "residual",
                                              "qkv", "features", "expression", "neutral"};
  return names.count(name) > 0;
}

// The objective saves the gradients of its activations in float.
bool has_float_gradient(const std::string& name) {
  return name == "expression" || name == "neutral";
}

// To the nearest, ties to even; the cases hold no NaN.
std::vector<uint16_t> to_bf16(const std::vector<float>& values) {
  std::vector<uint16_t> halves;
  for (float v : values) {
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    halves.push_back(static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16));
  }
  return halves;
}

std::vector<float> from_bf16(const std::vector<uint16_t>& halves) {
  std::vector<float> values;
  for (uint16_t half : halves) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float v;
    std::memcpy(&v, &bits, sizeof v);
    values.push_back(v);
  }
  return values;
}

// The case as a bfloat16 backend sees it: activations and their cotangents rounded, which the
// reference gets too. What remains is the rounding of each result, 2^-9 of it, and of what a kernel
// itself rounds for its matrix products.
OpCase in_bf16(OpCase c) {
  for (OpInput& i : c.inputs) {
    if (i.dtype == DType::F32 && is_activation(i.name)) i.values = from_bf16(to_bf16(i.values));
  }
  for (OpOutput& o : c.outputs) {
    if (o.dtype != DType::F32 || !is_activation(o.name) || !o.cotangent.empty()) continue;
    const std::vector<float> random =
        from_bf16(to_bf16(normal(o.shape.elements(), c.name + ".d" + o.name)));
    o.cotangent.assign(random.begin(), random.end());
  }
  c.forward_tolerance = std::max(c.forward_tolerance, c.bf16_tolerance);
  c.backward_tolerance = std::max(c.backward_tolerance, c.bf16_tolerance);
  c.forward_noise *= 1e4;  // from float's roundings to those of bfloat16
  c.backward_noise *= 1e4;
  return c;
}

// What a run left behind: the outputs by name, the gradients by "d" + name.
struct Outcome {
  Values values;
  std::vector<std::string> problems;
};

class CaseRun {
 public:
  CaseRun(const OpCase& c, const Expected& expected, Backend& backend, Precision precision)
      : case_(c), expected_(expected), backend_(backend), precision_(precision) {}

  // base: what accumulated gradients start from.
  Outcome run(const Modes& modes, const Values& base) {
    for (const OpInput& i : case_.inputs) {
      tensors_.tensors[i.name] =
          place(i.name, i.shape, dtype_of(i.name, i.dtype), i.matrix, &i.values);
    }
    for (const OpOutput& o : case_.outputs) {
      if (!tensors_.tensors.count(o.name)) {
        tensors_.tensors[o.name] =
            place(o.name, o.shape, dtype_of(o.name, o.dtype), false, nullptr);
      }
      const std::vector<double>& cotangent = expected_.cotangents.at(o.name);
      const std::vector<float> rounded(cotangent.begin(), cotangent.end());
      tensors_.cotangents[o.name] =
          place("d" + o.name, o.shape, dtype_of(o.name, DType::F32), false, &rounded);
    }
    if (case_.workspace) {
      const int64_t bytes = static_cast<int64_t>(case_.workspace(backend_));
      tensors_.workspace = place("workspace", Shape{(bytes + 3) / 4}, DType::F32, false, nullptr);
    }
    case_.forward(backend_, tensors_);
    if (case_.backward) {
      for (const OpInput& i : case_.inputs) {
        if (!i.differentiable) continue;
        const GradientMode mode = modes.count(i.name) ? modes.at(i.name) : GradientMode::Overwrite;
        Gradient gradient;
        if (mode != GradientMode::Ignore) {
          const std::vector<float>* start =
              mode == GradientMode::Accumulate ? &base.at("d" + i.name) : nullptr;
          const DType dtype =
              has_float_gradient(i.name) ? DType::F32 : dtype_of(i.name, DType::F32);
          gradient = {place("gradient of " + i.name, i.shape, dtype, i.matrix, start), mode};
        }
        tensors_.gradients[i.name] = gradient;
      }
      case_.backward(backend_, tensors_);
    }
    backend_.synchronize();
    return collect();
  }

 private:
  DType dtype_of(const std::string& name, DType dtype) const {
    return dtype == DType::F32 && is_activation(name) ? activation_dtype(precision_) : dtype;
  }

  Tensor place(const std::string& name, const Shape& shape, DType dtype, bool matrix,
               const std::vector<float>* values) {
    const int64_t elements = matrix ? backend_.packed_elements(shape) : shape.elements();
    const size_t bytes = static_cast<size_t>(elements) * size_of(dtype);
    buffers_.emplace_back(name, std::make_unique<GuardedBuffer>(backend_, bytes));
    const Tensor tensor{buffers_.back().second->data(), shape, dtype};
    if (values && matrix) {
      backend_.pack_parameter(tensor, values->data());
    } else if (values && dtype == DType::F32) {
      backend_.copy_in(tensor, values->data());
    } else if (values && dtype == DType::BF16) {
      backend_.copy_in(tensor, to_bf16(*values).data());
    } else if (values) {
      const std::vector<uint8_t> small(values->begin(), values->end());
      backend_.copy_in(tensor, small.data());
    } else if (matrix) {
      // Padding must be zero, and stay so.
      const std::vector<float> nan(static_cast<size_t>(shape.elements()), kNaN);
      backend_.pack_parameter(tensor, nan.data());
    }
    return tensor;
  }

  std::vector<float> fetch(Tensor tensor, bool matrix) {
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    if (matrix) {
      backend_.unpack_parameter(values.data(), tensor);
    } else if (tensor.dtype == DType::F32) {
      backend_.copy_out(values.data(), tensor);
    } else if (tensor.dtype == DType::BF16) {
      std::vector<uint16_t> halves(values.size());
      backend_.copy_out(halves.data(), tensor);
      values = from_bf16(halves);
    } else {
      std::vector<uint8_t> small(values.size());
      backend_.copy_out(small.data(), tensor);
      std::copy(small.begin(), small.end(), values.begin());
    }
    return values;
  }

  Outcome collect() {
    Outcome outcome;
    for (const OpOutput& o : case_.outputs) {
      outcome.values[o.name] = fetch(tensors_.tensors[o.name], false);
    }
    for (const OpInput& i : case_.inputs) {
      if (tensors_.gradients.count(i.name) && tensors_.gradients[i.name].wanted()) {
        outcome.values["d" + i.name] = fetch(tensors_.gradients[i.name].tensor, i.matrix);
      }
      if (outcome.values.count(i.name)) continue;  // updated in place
      const std::vector<float> now = fetch(tensors_.tensors[i.name], i.matrix);
      if (std::memcmp(now.data(), i.values.data(), now.size() * sizeof(float)) != 0) {
        outcome.problems.push_back("wrote into its input " + i.name);
      }
    }
    for (const auto& [name, buffer] : buffers_) {
      if (!buffer->guards_intact()) outcome.problems.push_back("wrote outside of " + name);
    }
    return outcome;
  }

  const OpCase& case_;
  const Expected& expected_;
  Backend& backend_;
  Precision precision_;
  OpTensors tensors_;
  std::vector<std::pair<std::string, std::unique_ptr<GuardedBuffer>>> buffers_;
};

void check_outputs(const OpCase& c, const Expected& expected, const Outcome& outcome,
                   const std::string& where) {
  for (const OpOutput& o : c.outputs) {
    const std::vector<double>& want = expected.values.at(o.name);
    const std::vector<float>& got = outcome.values.at(o.name);
    const double rms = root_mean_square(want);
    double worst = 0;
    size_t place = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      const double allowed =
          c.forward_tolerance * (std::fabs(want[i]) + rms) + c.forward_noise + 1e-30;
      const double error = std::fabs(got[i] - want[i]) / allowed;
      if (!(error <= worst)) {
        worst = error;
        place = i;
      }
    }
    CHECK(worst <= 1, where, ": ", o.name, "[", place, "] = ", got.empty() ? 0 : got[place],
          " but the reference has ", want.empty() ? 0 : want[place], ", ", worst,
          " times the tolerance");
  }
}

void check_gradients(const OpCase& c, const Expected& expected, const Outcome& outcome,
                     const std::string& where) {
  for (const Derivative& d : expected.derivatives) {
    const std::vector<float>& got = outcome.values.at("d" + d.input);
    const std::vector<double> gradient(got.begin(), got.end());
    const double value = dot(gradient, d.direction);
    const double rms = root_mean_square(gradient);
    // A direction sums the errors of all elements, as independent ones.
    const double size = d.coordinate ? std::fabs(d.value) + rms
                                     : 4 * rms * std::sqrt(static_cast<double>(gradient.size()));
    const double terms = d.coordinate ? 1 : 2 * std::sqrt(static_cast<double>(gradient.size()));
    // The last term is the finite difference's own error.
    const double noise = c.backward_noise * terms + 1e-9 * (1 + std::fabs(d.value));
    CHECK(std::fabs(value - d.value) <= c.backward_tolerance * size + noise, where, ": d", d.input,
          d.coordinate ? " in a coordinate: " : " in a direction: ", value,
          " but finite differences give ", d.value);
  }
}

bool same_bits(const Outcome& a, const Outcome& b, std::string* difference) {
  for (const auto& [name, values] : a.values) {
    const auto other = b.values.find(name);
    if (other == b.values.end()) continue;
    if (std::memcmp(values.data(), other->second.data(), values.size() * sizeof(float)) != 0) {
      *difference = name;
      return false;
    }
  }
  return true;
}

void check_modes(const OpCase& c, const Expected& expected, Backend& backend, Precision precision,
                 const Outcome& overwritten, const std::string& where) {
  Values base;
  Modes accumulate;
  Modes none;
  for (const OpInput& i : c.inputs) {
    if (!i.differentiable) continue;
    base["d" + i.name] = normal(i.shape.elements(), "base of " + i.name);
    accumulate[i.name] = GradientMode::Accumulate;
    none[i.name] = GradientMode::Ignore;
  }
  const Outcome accumulated = CaseRun(c, expected, backend, precision).run(accumulate, base);
  for (const std::string& problem : accumulated.problems) CHECK(false, where, ": ", problem);
  for (const auto& [name, start] : base) {
    const std::vector<float>& gradient = overwritten.values.at(name);
    const std::vector<float>& total = accumulated.values.at(name);
    bool right = true;
    for (size_t i = 0; i < start.size(); ++i) {
      // The sum may be one fused operation and partial sums may be added one by one: a few
      // roundings of the largest of them.
      const double rounding = precision == Precision::BF16 ? 1.0 / 128 : 1e-6;
      const double allowed = rounding * (1 + std::fabs(start[i]) + std::fabs(gradient[i]) +
                                         10 * c.backward_tolerance * std::fabs(gradient[i]));
      right =
          right && std::fabs(total[i] - (static_cast<double>(start[i]) + gradient[i])) <= allowed;
    }
    CHECK(right, where, ": ", name, " in mode Accumulate is not what was there plus the gradient");
  }
  std::string difference;
  for (const OpInput& i : c.inputs) {
    if (!i.differentiable) continue;
    const Outcome ignored =
        CaseRun(c, expected, backend, precision).run({{i.name, GradientMode::Ignore}}, base);
    CHECK(same_bits(ignored, overwritten, &difference), where, ": ignoring d", i.name, " changes ",
          difference);
    const Outcome only =
        CaseRun(c, expected, backend, precision).run({{i.name, GradientMode::Accumulate}}, base);
    CHECK(only.values.at("d" + i.name) == accumulated.values.at("d" + i.name), where, ": d", i.name,
          " accumulated alone differs");
    for (const std::string& problem : only.problems) CHECK(false, where, ": ", problem);
  }
  const Outcome nothing = CaseRun(c, expected, backend, precision).run(none, base);
  for (const std::string& problem : nothing.problems) CHECK(false, where, ": ", problem);
}

Backend& cached_backend(const TestedBackend& tested, int threads) {
  static std::map<std::pair<std::string, int>, std::unique_ptr<Backend>> all;
  std::unique_ptr<Backend>& backend = all[{tested.name, threads}];
  if (!backend) backend = tested.make(threads);
  if (tested.use) tested.use(threads);
  return *backend;
}

}  // namespace

GuardedBuffer::GuardedBuffer(Backend& backend, size_t bytes)
    : backend_(backend), bytes_(bytes), block_(backend.allocate(bytes + 2 * kGuardBytes)) {
  std::vector<uint8_t> content(bytes + 2 * kGuardBytes, kGuardByte);
  // NaN as float32 and as bfloat16.
  std::memset(content.data() + kGuardBytes, 0xFF, bytes);
  const int64_t size = static_cast<int64_t>(content.size());
  backend_.copy_in({block_->data(), Shape{size}, DType::U8}, content.data());
}

void* GuardedBuffer::data() const { return static_cast<uint8_t*>(block_->data()) + kGuardBytes; }

bool GuardedBuffer::guards_intact() const {
  std::vector<uint8_t> content(bytes_ + 2 * kGuardBytes);
  const int64_t size = static_cast<int64_t>(content.size());
  backend_.copy_out(content.data(), {block_->data(), Shape{size}, DType::U8});
  const auto is_guard = [](uint8_t byte) { return byte == kGuardByte; };
  return std::all_of(content.begin(), content.begin() + kGuardBytes, is_guard) &&
         std::all_of(content.end() - kGuardBytes, content.end(), is_guard);
}

namespace {

void run_on(const OpCase& c, const TestedBackend& tested, const Expected& expected) {
  const Precision precision = tested.precision;
  const std::string where = text(c.name, " on ", tested.name);
  const Outcome one = CaseRun(c, expected, cached_backend(tested, 1), precision).run({}, {});
  for (const std::string& problem : one.problems) CHECK(false, where, ": ", problem);
  check_outputs(c, expected, one, where);
  check_gradients(c, expected, one, where);
  for (int threads : {2, 3}) {
    std::string difference;
    const Outcome more =
        CaseRun(c, expected, cached_backend(tested, threads), precision).run({}, {});
    CHECK(same_bits(one, more, &difference), where, ": ", difference, " differs with ", threads,
          " threads");
    for (const std::string& problem : more.problems) CHECK(false, where, ": ", problem);
  }
  if (c.backward) check_modes(c, expected, cached_backend(tested, 2), precision, one, where);
}

}  // namespace

void run_case(const OpCase& c) {
  std::optional<Expected> expected;
  std::optional<Expected> expected_in_bf16;
  const OpCase rounded = in_bf16(c);
  for (const TestedBackend& tested : all_tested_backends()) {
    if (tested.precision == Precision::FP32) {
      if (!expected) expected = expect(c);
      run_on(c, tested, *expected);
    } else {
      if (!expected_in_bf16) expected_in_bf16 = expect(rounded);
      run_on(rounded, tested, *expected_in_bf16);
    }
  }
}

std::vector<float> normal(int64_t n, const std::string& name, double mean, double deviation) {
  const RandomStream random(20250829, hash_name(name));
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(mean + deviation * random.normal(i));
  }
  return values;
}

std::vector<float> uniform(int64_t n, double low, double high, const std::string& name) {
  const RandomStream random(20250829, hash_name(name));
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(low + (high - low) * random.uniform(i));
  }
  return values;
}

std::vector<float> repeated(int64_t n, float value) {
  return std::vector<float>(static_cast<size_t>(n), value);
}

const std::vector<TestedBackend>& tested_backends() {
  static const std::vector<TestedBackend> all = [] {
    std::vector<TestedBackend> found;
    for (const TestedBackend& tested : all_tested_backends()) {
      if (tested.precision == Precision::FP32) found.push_back(tested);
    }
    return found;
  }();
  return all;
}

std::vector<std::string>& covered_methods() {
  static std::vector<std::string> all;
  return all;
}

bool cover(std::initializer_list<const char*> methods) {
  covered_methods().insert(covered_methods().end(), methods.begin(), methods.end());
  return true;
}

// An operation that is added to the Backend without a test case fails here.
TEST(every_backend_operation_has_a_case) {
  const std::string path = std::string(COUNTENANCE_SOURCE_DIR) + "/native/backend/backend.h";
  std::ifstream file(path);
  CHECK(file.good(), "cannot read ", path);
  std::vector<std::string> declared;
  const std::string keyword = "virtual void ";
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    inside = inside || line.find("class Backend {") != std::string::npos;
    const size_t begin = line.find(keyword);
    if (!inside || begin == std::string::npos) continue;
    const size_t name = begin + keyword.size();
    declared.push_back(line.substr(name, line.find('(', name) - name));
  }
  CHECK(declared.size() >= 30, "found only ", declared.size(), " operations in ", path);
  const std::vector<std::string>& covered = covered_methods();
  for (const std::string& method : declared) {
    CHECK(std::find(covered.begin(), covered.end(), method) != covered.end(), method,
          " has no test case");
  }
  for (const std::string& method : covered) {
    CHECK(std::find(declared.begin(), declared.end(), method) != declared.end(), method,
          " is covered but is no operation of Backend");
  }
}

}  // namespace countenance::test
