import type { Layers } from './layers.js';
import type { ValueName } from './onnx/graph.js';

const epsilon = 1e-5;

/**
 * ResNet-18, as native/models/resnet.cpp builds it: images (B, 3, S, S) -> (B, 512).
 *
 * @param name what its parameters' names begin with, without the dot
 */
export function resnet18(layers: Layers, images: ValueName, name: string): ValueName {
  const { graph } = layers;
  let x = convNorm(layers, images, `${name}.conv1`, `${name}.bn1`, 7, 2);
  x = layers.relu(x, `${name}.relu`);
  x = graph.node(`${name}.maxpool`, 'MaxPool', [x], {
    kernel_shape: [3, 3],
    strides: [2, 2],
    pads: [1, 1, 1, 1],
  });
  for (const stage of [1, 2, 3, 4]) {
    x = basicBlock(layers, x, `${name}.layer${stage}.0`, stage === 1 ? 1 : 2);
    x = basicBlock(layers, x, `${name}.layer${stage}.1`, 1);
  }
  x = graph.node(`${name}.avgpool`, 'GlobalAveragePool', [x]);
  return graph.node(`${name}.avgpool`, 'Flatten', [x], { axis: 1 });
}

/** Two 3x3 convolutions and a shortcut, which is a strided 1x1 convolution where the shape changes. */
function basicBlock(layers: Layers, x: ValueName, name: string, stride: number): ValueName {
  let out = convNorm(layers, x, `${name}.conv1`, `${name}.bn1`, 3, stride);
  out = layers.relu(out, `${name}.relu1`);
  out = convNorm(layers, out, `${name}.conv2`, `${name}.bn2`, 3, 1);
  const shortcut =
    stride === 1
      ? x
      : convNorm(layers, x, `${name}.downsample.0`, `${name}.downsample.1`, 1, stride);
  return layers.relu(layers.add(out, shortcut, name), `${name}.relu2`);
}

function convNorm(
  layers: Layers,
  x: ValueName,
  conv: string,
  norm: string,
  kernel: number,
  stride: number,
): ValueName {
  const padding = (kernel - 1) / 2;
  return layers.batchNorm(layers.conv(x, conv, { kernel, stride, padding }), norm, epsilon);
}
