import { Random } from '../../lib/philox.js';
import type { NativeGraph, NativeOperation } from '../../lib/native.js';
import type { StateDict } from '../../lib/types.js';

export const mixed = { height: 4, width: 6, channels: 4, classes: 2 } as const;

/**
 * A network that the core does not have, made of operations that it has: pictures (B, H, W, 3) through a 1x1
 * convolution, a linear layer, which works on rows, and max pooling, which works on planes again.
 */
export function mixedGraph(): NativeGraph {
  const { height, width, channels, classes } = mixed;
  const shapes = [
    [1, height, width, 3],
    [classes, channels],
    [1, height, width, channels],
    [1, height, width, channels],
    [1, height / 2, width / 2, channels],
    [1, channels],
    [1, classes],
  ];
  const layer = (name: string) => ({ weight: `${name}.weight`, bias: `${name}.bias` });
  const operation = (
    [type, name]: [string, string],
    x: number,
    y: number,
    rest: Partial<NativeOperation> = {},
  ): NativeOperation => ({
    ...{ type, name, attributes: {}, inputs: { x }, outputs: { y }, parameters: {} },
    ...rest,
  });
  return {
    values: shapes.map((shape) => ({ shape, dtype: 'float32', wantsGradient: false })),
    parameters: [...mixedState()].map(([name, { shape }]) => ({ name, shape, trainable: true })),
    inputs: { images: 0, text: 1 },
    outputs: { expression: 5, neutral: 5, logits: 6 },
    operations: [
      operation(['conv2d', 'first'], 0, 2, {
        attributes: { stride: 1, padding: 0 },
        parameters: layer('first'),
      }),
      operation(['linear', 'dense'], 2, 3, { parameters: layer('dense') }),
      operation(['max_pool', 'dense.max_pool'], 3, 4, {
        attributes: { kernel: 2, stride: 2, padding: 0 },
      }),
      operation(['global_average_pool', 'pool'], 4, 5),
      operation(['cosine_logits', 'head'], 5, 6, {
        attributes: { scale: 10 },
        inputs: { features: 5, text: 1 },
        outputs: { logits: 6 },
      }),
    ],
  };
}

/** Its weights. */
export function mixedState(): StateDict {
  const random = new Random(3, 41);
  const shapes = {
    'first.weight': [mixed.channels, 3, 1, 1],
    'first.bias': [mixed.channels],
    'dense.weight': [mixed.channels, mixed.channels],
    'dense.bias': [mixed.channels],
  };
  const tensor = (shape: readonly number[]) => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal()),
  });
  return new Map(Object.entries(shapes).map(([name, shape]) => [name, tensor(shape)]));
}
