#include "models/encoders.h"
#include "ops/ops.h"

namespace countenance {

namespace {

// Two 3x3 convolutions and a shortcut, which is a strided 1x1 convolution where the shape changes.
Value basic_block(Graph& graph, Value x, const std::string& name, int64_t channels,
                  int64_t stride) {
  Value out = conv_norm(graph, x, name + ".conv1", name + ".bn1",
                        {.out_channels = channels, .kernel = 3, .stride = stride, .padding = 1},
                        {.activation = Activation::Relu});
  Value shortcut = x;
  if (stride != 1 || graph.shape(x).channels() != channels) {
    shortcut = conv_norm(graph, x, name + ".downsample.0", name + ".downsample.1",
                         {.out_channels = channels, .kernel = 1, .stride = stride}, {});
  }
  return conv_norm(graph, out, name + ".conv2", name + ".bn2",
                   {.out_channels = channels, .kernel = 3, .stride = 1, .padding = 1},
                   {.activation = Activation::Relu, .residual = shortcut});
}

Value stage(Graph& graph, Value x, const std::string& name, int64_t channels, int64_t stride) {
  x = basic_block(graph, x, name + ".0", channels, stride);
  return basic_block(graph, x, name + ".1", channels, 1);
}

Value build(Graph& graph, Value images, const std::string& name, const ModelConfig&) {
  Value x = conv_norm(graph, images, name + ".conv1", name + ".bn1",
                      {.out_channels = 64, .kernel = 7, .stride = 2, .padding = 3},
                      {.activation = Activation::Relu});
  x = max_pool(graph, x, {.kernel = 3, .stride = 2, .padding = 1});
  x = stage(graph, x, name + ".layer1", 64, 1);
  x = stage(graph, x, name + ".layer2", 128, 2);
  x = stage(graph, x, name + ".layer3", 256, 2);
  x = stage(graph, x, name + ".layer4", 512, 2);
  return global_average_pool(graph, x);
}

}  // namespace

// He et al., "Deep residual learning for image recognition", 2016; torchvision's names, no fc.
const Encoder& resnet18() {
  static const Encoder encoder{
      .name = "resnet18", .label = "ResNet-18", .optimizer = "sgd", .build = build};
  return encoder;
}

}  // namespace countenance
