#include "graph/parameters.h"

#include <cmath>

#include "core/arena.h"
#include "core/philox.h"

namespace countenance {

namespace {

// Each parameter starts on a cache line of its own.
constexpr int64_t kPlaceFloats = kAlignment / sizeof(float);

std::vector<float> draw(const ParameterSpec& spec, uint64_t seed) {
  const RandomStream random(seed, hash_name(spec.name));
  const Initializer& init = spec.initializer;
  std::vector<float> values(static_cast<size_t>(spec.shape.elements()), init.value);
  if (init.kind == Initializer::Kind::Constant) return values;
  for (size_t i = 0; i < values.size(); ++i) {
    double x = 0;
    if (init.kind == Initializer::Kind::Uniform) {
      x = 2.0 * random.uniform(i) - 1.0;
    } else {
      x = random.normal(i);
      // Values outside are redrawn from a distant part of the stream.
      for (uint64_t again = 1; init.kind == Initializer::Kind::TruncatedNormal && std::abs(x) > 2.0;
           ++again) {
        x = random.normal((again << 40) + i);
      }
    }
    values[i] = static_cast<float>(init.value * x);
  }
  return values;
}

}  // namespace

Initializer Initializer::kaiming_fan_out(const Shape& shape) {
  const double fan_out = static_cast<double>(shape[0] * shape[2] * shape[3]);
  return normal(static_cast<float>(std::sqrt(2.0 / fan_out)));
}

Initializer Initializer::fan_in(int64_t in) {
  return uniform(static_cast<float>(1.0 / std::sqrt(static_cast<double>(in))));
}

ParameterId ParameterTable::declare(const std::string& name, const Shape& shape, ParameterKind kind,
                                    Initializer initializer) {
  if (auto found = index_.find(name); found != index_.end()) {
    const ParameterSpec& spec = specs_[static_cast<size_t>(found->second)];
    ensure(spec.shape == shape && spec.kind == kind, "parameter ", name, " declared as ",
           spec.shape, " and as ", shape);
    return {found->second};
  }
  ensure(!frozen_, "parameter ", name, " is not in the frozen table");
  ParameterSpec spec{name, shape, kind, initializer};
  spec.elements =
      kind == ParameterKind::Matrix ? backend_->packed_elements(shape) : shape.elements();
  int64_t& end = spec.trainable() ? trained_elements_ : statistic_elements_;
  spec.offset = end;
  end += (spec.elements + kPlaceFloats - 1) / kPlaceFloats * kPlaceFloats;
  const int index = static_cast<int>(specs_.size());
  specs_.push_back(std::move(spec));
  index_.emplace(name, index);
  return {index};
}

ParameterId ParameterTable::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  require(found != index_.end(), "the model has no parameter named ", name);
  return {found->second};
}

ParameterArena::ParameterArena(Backend& backend, const ParameterTable& table, Part part)
    : elements_(part == Part::Trained ? table.trained_elements() : table.statistic_elements()),
      part_(part) {
  block_ = backend.allocate(static_cast<size_t>(elements_) * sizeof(float));
}

Tensor ParameterArena::view(const ParameterSpec& spec) const {
  ensure(spec.trainable() == (part_ == Part::Trained), spec.name, " lives in another arena");
  return tensor_of(data() + spec.offset, spec.shape);
}

void ParameterArena::read(float* out, const ParameterSpec& spec, Backend& backend) const {
  if (spec.kind == ParameterKind::Matrix) {
    backend.unpack_parameter(out, view(spec));
  } else {
    backend.copy_out(out, view(spec));
  }
}

void ParameterArena::write(const float* in, const ParameterSpec& spec, Backend& backend) {
  if (spec.kind == ParameterKind::Matrix) {
    backend.pack_parameter(view(spec), in);
  } else {
    backend.copy_in(view(spec), in);
  }
}

void ParameterStore::initialize(uint64_t seed, Backend& backend) {
  for (const ParameterSpec& spec : table->specs()) {
    arena_of(spec).write(draw(spec, seed).data(), spec, backend);
  }
}

}  // namespace countenance
