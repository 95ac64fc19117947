#pragma once

#include "core/option.h"
#include "models/model.h"

namespace countenance {

// An image encoder: images (B, S, S, 3) -> representation (B, D), and the limits of its input.
struct Encoder {
  std::string_view name;   // "resnet18"
  std::string_view label;  // "ResNet-18"
  int64_t least_input = 32;
  int64_t most_input = 1024;
  // The patch sides it supports; empty if images are not cut into patches. The input is a multiple
  // of grid * patch.
  std::vector<int64_t> patch_sizes = {};
  int64_t grid = 1;
  bool has_drop_path = false;       // stochastic depth
  std::string_view head = {};       // prefix of the layers after pooling; empty if there are none
  std::string_view optimizer = {};  // the one it is usually trained with
  // Parameters are under `name`, with the names of torchvision or Microsoft.
  Value (*build)(Graph& graph, Value images, const std::string& name, const ModelConfig& config);
};

const Encoder& resnet18();
const Encoder& resnet34();
const Encoder& resnet50();
const Encoder& swin_t();
const Encoder& swin_s();

std::span<const Encoder* const> encoders();
// Throws ERR_INVALID_ARGUMENT listing the known names.
const Encoder& find_encoder(std::string_view name);

// docs/METHOD.md: f_n = W2 relu(W1 f_e + b1) + b2, W1: D -> 128, W2: 128 -> D.
Value neutral_transformation(Graph& graph, Value expression, const std::string& name);

}  // namespace countenance
