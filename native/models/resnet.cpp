#include <array>

#include "models/encoders.h"
#include "ops/ops.h"

namespace countenance {

namespace {

using Depths = std::array<int64_t, 4>;  // blocks of each stage
using Block = Value (*)(Graph& graph, Value x, const std::string& name, int64_t channels,
                        int64_t stride);
constexpr int64_t kExpansion = 4;  // of a bottleneck

// The shortcut of a block: a strided 1x1 convolution where the shape changes.
Value shortcut_of(Graph& graph, Value x, const std::string& name, int64_t channels,
                  int64_t stride) {
  if (stride == 1 && graph.shape(x).channels() == channels) return x;
  return conv_norm(graph, x, name + ".downsample.0", name + ".downsample.1",
                   {.out_channels = channels, .kernel = 1, .stride = stride}, {});
}

// Two 3x3 convolutions and a shortcut.
Value basic_block(Graph& graph, Value x, const std::string& name, int64_t channels,
                  int64_t stride) {
  const Value out =
      conv_norm(graph, x, name + ".conv1", name + ".bn1",
                {.out_channels = channels, .kernel = 3, .stride = stride, .padding = 1},
                {.activation = Activation::Relu});
  const Value shortcut = shortcut_of(graph, x, name, channels, stride);
  return conv_norm(graph, out, name + ".conv2", name + ".bn2",
                   {.out_channels = channels, .kernel = 3, .stride = 1, .padding = 1},
                   {.activation = Activation::Relu, .residual = shortcut});
}

// 1x1, 3x3 and 1x1 convolutions and a shortcut; the last one has four times the channels. The
// stride is the 3x3's, as in torchvision ("v1.5").
Value bottleneck(Graph& graph, Value x, const std::string& name, int64_t channels, int64_t stride) {
  const int64_t expanded = kExpansion * channels;
  Value out = conv_norm(graph, x, name + ".conv1", name + ".bn1",
                        {.out_channels = channels, .kernel = 1}, {.activation = Activation::Relu});
  out = conv_norm(graph, out, name + ".conv2", name + ".bn2",
                  {.out_channels = channels, .kernel = 3, .stride = stride, .padding = 1},
                  {.activation = Activation::Relu});
  const Value shortcut = shortcut_of(graph, x, name, expanded, stride);
  return conv_norm(graph, out, name + ".conv3", name + ".bn3",
                   {.out_channels = expanded, .kernel = 1},
                   {.activation = Activation::Relu, .residual = shortcut});
}

// Stages of 64, 128, 256 and 512 channels; each but the first halves the sides.
Value build(Graph& graph, Value images, const std::string& name, const Depths& depths,
            Block block = basic_block) {
  Value x = conv_norm(graph, images, name + ".conv1", name + ".bn1",
                      {.out_channels = 64, .kernel = 7, .stride = 2, .padding = 3},
                      {.activation = Activation::Relu});
  x = max_pool(graph, x, {.kernel = 3, .stride = 2, .padding = 1});
  for (size_t i = 0; i < depths.size(); ++i) {
    const std::string layer = name + ".layer" + std::to_string(i + 1);
    for (int64_t j = 0; j < depths[i]; ++j) {
      const int64_t stride = i > 0 && j == 0 ? 2 : 1;
      x = block(graph, x, layer + "." + std::to_string(j), 64 << i, stride);
    }
  }
  return global_average_pool(graph, x);
}

// He et al., "Deep residual learning for image recognition", 2016; torchvision's names, no fc.
template <Depths depths>
Encoder without_head(std::string_view name, std::string_view label) {
  return {.name = name,
          .label = label,
          .optimizer = "sgd",
          .build = [](Graph& graph, Value images, const std::string& prefix, const ModelConfig&) {
            return build(graph, images, prefix, depths);
          }};
}

}  // namespace

const Encoder& resnet18() {
  static const Encoder encoder = without_head<{2, 2, 2, 2}>("resnet18", "ResNet-18");
  return encoder;
}

const Encoder& resnet34() {
  static const Encoder encoder = without_head<{3, 4, 6, 3}>("resnet34", "ResNet-34");
  return encoder;
}

// Its fc turns the 2048 pooled channels into the embedding.
const Encoder& resnet50() {
  static const Encoder encoder{
      .name = "resnet50",
      .label = "ResNet-50",
      .head = "fc.",
      .optimizer = "sgd",
      .build = [](Graph& graph, Value images, const std::string& name, const ModelConfig&) {
        const Value pooled = build(graph, images, name, {3, 4, 6, 3}, bottleneck);
        const Initializer initial = Initializer::fan_in(graph.shape(pooled).channels());
        return linear(graph, pooled, name + ".fc",
                      {.out_features = kEmbedding, .weight = initial, .bias_initializer = initial});
      }};
  return encoder;
}

}  // namespace countenance
