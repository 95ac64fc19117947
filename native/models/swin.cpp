#include <array>
#include <numeric>

#include "models/encoders.h"
#include "ops/ops.h"

namespace countenance {

namespace {

constexpr int64_t kEmbed = 96;
constexpr int64_t kWindow = 7;
constexpr int64_t kMlpRatio = 4;
constexpr std::array<int64_t, 4> kHeads = {3, 6, 12, 24};
using Depths = std::array<int64_t, kHeads.size()>;  // blocks of each stage

LinearOptions dense_options(int64_t out, bool bias = true) {
  return {.out_features = out, .weight = Initializer::truncated_normal(0.02f), .bias = bias};
}

Value dense(Graph& graph, Value x, const std::string& name, int64_t out, bool bias = true) {
  return linear(graph, x, name, dense_options(out, bias));
}

Value attention(Graph& graph, Value x, const std::string& name, int64_t heads, int64_t shift) {
  const int64_t channels = graph.shape(x).channels();
  const Value qkv = dense(graph, x, name + ".qkv", 3 * channels);
  x = window_attention(graph, qkv, name, {.heads = heads, .window = kWindow, .shift = shift});
  return dense(graph, x, name + ".proj", channels);
}

Value mlp(Graph& graph, Value x, const std::string& name) {
  const int64_t channels = graph.shape(x).channels();
  x = linear_gelu(graph, x, name + ".fc1", dense_options(kMlpRatio * channels));
  return dense(graph, x, name + ".fc2", channels);
}

// Pre-norm transformer block; every second one uses windows shifted by half, unless one window
// covers the whole grid.
Value block(Graph& graph, Value x, const std::string& name, int64_t heads, bool odd,
            float drop_path) {
  const int64_t shift = odd && graph.shape(x)[1] > kWindow ? kWindow / 2 : 0;
  const Value attended =
      attention(graph, layer_norm(graph, x, name + ".norm1"), name + ".attn", heads, shift);
  x = add(graph, x, attended, drop_path);
  const Value transformed = mlp(graph, layer_norm(graph, x, name + ".norm2"), name + ".mlp");
  return add(graph, x, transformed, drop_path);
}

Value downsample(Graph& graph, Value x, const std::string& name) {
  const int64_t channels = graph.shape(x).channels();
  x = layer_norm(graph, patch_merge(graph, x), name + ".norm");
  return dense(graph, x, name + ".reduction", 2 * channels, false);
}

Value build(Graph& graph, Value images, const std::string& name, const ModelConfig& config,
            const Depths& depths) {
  Value x = conv2d(graph, images, name + ".patch_embed.proj",
                   {.out_channels = kEmbed,
                    .kernel = config.patch_size,
                    .stride = config.patch_size,
                    .bias = true});
  x = layer_norm(graph, x, name + ".patch_embed.norm");
  const int64_t blocks = std::accumulate(depths.begin(), depths.end(), int64_t{0});
  int64_t done = 0;
  for (size_t i = 0; i < depths.size(); ++i) {
    const std::string layer = name + ".layers." + std::to_string(i);
    for (int64_t j = 0; j < depths[i]; ++j, ++done) {
      const float rate =
          config.drop_path * static_cast<float>(done) / static_cast<float>(blocks - 1);
      x = block(graph, x, layer + ".blocks." + std::to_string(j), kHeads[i], j % 2 == 1, rate);
    }
    if (i + 1 < depths.size()) x = downsample(graph, x, layer + ".downsample");
  }
  x = global_average_pool(graph, layer_norm(graph, x, name + ".norm"));

  // The head that turns the pooled tokens into the embedding, as in the reference.
  const BatchNormOptions norm{.eps = 2e-5f};
  x = dense(graph, x, name + ".feature.0", graph.shape(x).channels(), false);
  x = batch_norm(graph, x, name + ".feature.1", norm);
  x = dense(graph, x, name + ".feature.2", kEmbedding, false);
  return batch_norm(graph, x, name + ".feature.3", norm);
}

constexpr int64_t kGrid = kWindow << (kHeads.size() - 1);  // tokens per side: one window at the end

// Liu et al., "Swin transformer", 2021, with the reference's head.
template <Depths depths>
Encoder swin(std::string_view name, std::string_view label) {
  return {.name = name,
          .label = label,
          .least_input = 112,
          .patch_sizes = {2, 4},
          .grid = kGrid,
          .has_drop_path = true,
          .head = "feature.",
          .optimizer = "adamw",
          .build = [](Graph& graph, Value images, const std::string& prefix,
                      const ModelConfig& config) {
            return build(graph, images, prefix, config, depths);
          }};
}

}  // namespace

const Encoder& swin_t() {
  static const Encoder encoder = swin<{2, 2, 6, 2}>("swin-t", "Swin-T");
  return encoder;
}

const Encoder& swin_s() {
  static const Encoder encoder = swin<{2, 2, 18, 2}>("swin-s", "Swin-S");
  return encoder;
}

}  // namespace countenance
