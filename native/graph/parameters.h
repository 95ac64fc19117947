#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"

namespace countenance {

struct ParameterId {
  int index = -1;
  explicit operator bool() const { return index >= 0; }
};

enum class ParameterKind : uint8_t {
  Matrix,     // weight of a convolution or linear layer, in the backend's packed layout
  Vector,     // anything else that is trained: biases, norms' weights, bias tables
  Statistic,  // running mean or variance: in the state dict, not trained
};

// How a fresh parameter is drawn, from (seed, name): the same weights in any declaration order.
struct Initializer {
  enum class Kind : uint8_t { Constant, Normal, Uniform, TruncatedNormal } kind = Kind::Constant;
  float value = 0;  // the constant, the standard deviation or the bound

  static Initializer constant(float value) { return {Kind::Constant, value}; }
  static Initializer zeros() { return constant(0); }
  static Initializer ones() { return constant(1); }
  static Initializer normal(float std) { return {Kind::Normal, std}; }
  static Initializer uniform(float bound) { return {Kind::Uniform, bound}; }
  // Cut at two standard deviations, the customary form for transformers.
  static Initializer truncated_normal(float std) { return {Kind::TruncatedNormal, std}; }
  // He et al. 2015 for ReLU networks, fan-out form, as in torchvision's ResNet. shape (out, in, kh,
  // kw).
  static Initializer kaiming_fan_out(const Shape& shape);
  // torch.nn.Linear's default for weight and bias: uniform within 1 / sqrt(in).
  static Initializer fan_in(int64_t in);
};

struct ParameterSpec {
  std::string name;  // PyTorch's state-dict name
  Shape shape;       // PyTorch's shape
  ParameterKind kind;
  Initializer initializer;
  int64_t offset = 0;    // in floats, in the arena of its kind (trained or statistics)
  int64_t elements = 0;  // floats it takes there, including packing padding

  bool trainable() const { return kind != ParameterKind::Statistic; }
};

// The parameters of a model: names, shapes and offsets. Filled while the first graph of the model
// is built, then frozen; every later graph finds the same parameters by name.
class ParameterTable {
 public:
  explicit ParameterTable(const Backend& backend) : backend_(&backend) {}

  ParameterId declare(const std::string& name, const Shape& shape, ParameterKind kind,
                      Initializer initializer);
  void freeze() { frozen_ = true; }

  // Throws ERR_INVALID_ARGUMENT for an unknown name.
  ParameterId find(std::string_view name) const;
  const ParameterSpec& operator[](ParameterId id) const {
    return specs_[static_cast<size_t>(id.index)];
  }
  const std::vector<ParameterSpec>& specs() const { return specs_; }
  int64_t trained_elements() const { return trained_elements_; }
  int64_t statistic_elements() const { return statistic_elements_; }

 private:
  const Backend* backend_;
  std::vector<ParameterSpec> specs_;
  std::unordered_map<std::string, int> index_;
  int64_t trained_elements_ = 0;
  int64_t statistic_elements_ = 0;
  bool frozen_ = false;
};

// One flat float32 block with a place for each trained parameter (or each statistic): weights,
// gradients and every optimizer state are arenas with one layout.
class ParameterArena {
 public:
  enum class Part : uint8_t { Trained, Statistics };

  ParameterArena(Backend& backend, const ParameterTable& table, Part part = Part::Trained);

  Tensor flat() const { return tensor_of(data(), Shape{elements_}); }
  // Shape as in the spec; a matrix's memory is packed.
  Tensor view(const ParameterSpec& spec) const;
  // PyTorch's layout, spec.shape.elements() floats.
  void read(float* out, const ParameterSpec& spec, Backend& backend) const;
  void write(const float* in, const ParameterSpec& spec, Backend& backend);
  void swap(ParameterArena& other) noexcept { std::swap(block_, other.block_); }

 private:
  float* data() const { return static_cast<float*>(block_->data()); }

  std::unique_ptr<DeviceBlock> block_;
  int64_t elements_;
  Part part_;
};

// A model's weights and running statistics.
struct ParameterStore {
  ParameterStore(Backend& backend, const ParameterTable& table)
      : table(&table),
        weights(backend, table),
        statistics(backend, table, ParameterArena::Part::Statistics) {}

  ParameterArena& arena_of(const ParameterSpec& spec) {
    return spec.trainable() ? weights : statistics;
  }
  void initialize(uint64_t seed, Backend& backend);

  const ParameterTable* table;
  ParameterArena weights;
  ParameterArena statistics;
};

}  // namespace countenance
