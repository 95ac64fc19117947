#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <sstream>

#include "backend/op_expected.h"
#include "backend/op_parity.h"
#include "core/philox.h"
#include "harness/bf16.h"

namespace countenance::test {

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr uint8_t kGuardByte = 0xAB;
using Values = Results;
using Modes = std::map<std::string, GradientMode>;

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

// The case as a bfloat16 backend sees it: activations and their cotangents are rounded, for the
// reference too. What remains is the rounding of each result, 2^-9 of it, and of whatever a kernel
// itself rounds for its matrix products.
OpCase in_bf16(OpCase c) {
  for (OpInput& i : c.inputs) {
    if (i.dtype == DType::F32 && is_activation(i.name)) i.values = rounded_to_bf16(i.values);
  }
  for (OpOutput& o : c.outputs) {
    if (o.dtype != DType::F32 || !is_activation(o.name) || !o.cotangent.empty()) continue;
    const std::vector<float> random =
        rounded_to_bf16(normal(o.shape.elements(), c.name + ".d" + o.name));
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

  // base: the initial values of accumulated gradients.
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
      // Padding must be zero, and stay zero.
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
    // A direction sums the errors of all elements, treated as independent.
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

// The initial values of accumulated gradients.
Values bases(const OpCase& c) {
  Values base;
  for (const OpInput& i : c.inputs) {
    if (i.differentiable) base["d" + i.name] = normal(i.shape.elements(), "base of " + i.name);
  }
  return base;
}

// All gradients in mode Accumulate; returns the outcome.
Outcome check_accumulation(const OpCase& c, const Expected& expected, Backend& backend,
                           Precision precision, const Outcome& overwritten,
                           const std::string& where) {
  const Values base = bases(c);
  Modes accumulate;
  for (const OpInput& i : c.inputs) {
    if (i.differentiable) accumulate[i.name] = GradientMode::Accumulate;
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
  return accumulated;
}

void check_modes(const OpCase& c, const Expected& expected, Backend& backend, Precision precision,
                 const Outcome& overwritten, const std::string& where) {
  const Values base = bases(c);
  const Outcome accumulated =
      check_accumulation(c, expected, backend, precision, overwritten, where);
  Modes none;
  for (const OpInput& i : c.inputs) none[i.name] = GradientMode::Ignore;
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
  std::fill_n(content.data() + kGuardBytes, bytes, uint8_t{0xFF});
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
  if (tested.reference) {
    CaseRun reference(c, expected, tested.reference(), Precision::FP32);
    check_parity(c, tested, one.values, reference.run({}, {}).values);
  }
  if (!tested.thorough) {
    if (c.backward)
      check_accumulation(c, expected, cached_backend(tested, 2), precision, one, where);
    return;
  }
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
      if (!expected) expected = expect(c, tested.thorough);
      run_on(c, tested, *expected);
    } else {
      if (!expected_in_bf16) expected_in_bf16 = expect(rounded, tested.thorough);
      run_on(rounded, tested, *expected_in_bf16);
    }
  }
}

}  // namespace countenance::test
