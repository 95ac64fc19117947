#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "graph/plan.h"

namespace countenance {

// Width D of the representations, set by the vision-language model's text embeddings.
inline constexpr int64_t kEmbedding = 512;

struct ModelConfig {
  std::string_view backbone = "resnet18";  // the name of an entry in models/encoders.h
  int64_t input_size = 112;
  int64_t patch_size = 2;  // if the encoder cuts the image into patches
  float drop_path = 0.1f;  // if it has stochastic depth: the last block's rate, rising from 0
  int64_t classes = 7;
  int64_t neutral = 6;
  float logit_scale = 100.0f;
  uint64_t seed = 0;  // of the initial weights
};

// Throws ERR_INVALID_ARGUMENT naming what is wrong.
void validate(const ModelConfig& config);

struct Features {
  Value expression;  // f_e (B, D)
  Value neutral;     // f_n (B, D)
};

// The whole network of docs/METHOD.md: from normalised images (B, S, S, 3) to two representations.
// Parameters are under `encoder.` and `MLP.`, as in the reference's checkpoints.
Features ke2nt(Graph& graph, const ModelConfig& config, Value images);

// Weights, text embeddings and the backend that holds them.
class Model {
 public:
  // text: (classes, D) raw embeddings, finite, no zero row.
  Model(ModelConfig config, std::span<const float> text, std::shared_ptr<Backend> backend);

  const ModelConfig& config() const { return config_; }
  Backend& backend() const { return *backend_; }
  std::shared_ptr<Backend> shared_backend() const { return backend_; }
  ParameterTable& table() { return table_; }
  ParameterStore& parameters() { return *parameters_; }
  // (classes, D) in the backend's memory.
  Tensor text() const;

  // State-dict access in PyTorch's layout; sizes are checked.
  void read(const ParameterSpec& spec, std::span<float> out);
  void write(const ParameterSpec& spec, std::span<const float> in);

 private:
  ModelConfig config_;
  std::shared_ptr<Backend> backend_;
  std::unique_ptr<DeviceBlock> text_;
  ParameterTable table_;
  std::unique_ptr<ParameterStore> parameters_;
};

}  // namespace countenance
