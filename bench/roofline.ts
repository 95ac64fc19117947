import type { Scenario } from './scenarios.js';
import type { Grid, Operation, Work, WorkOptions } from './work.js';
import { WorkCounter } from './work.js';

/** What a device can do at best. */
export interface Machine {
  /** Floating-point operations a second of matrix products in the precision at hand. */
  readonly flopsPerSecond: number;
  /** Bytes a second from and to its memory. */
  readonly bytesPerSecond: number;
}

/** A network at a batch size, in one precision. */
export type Load = Pick<Scenario, 'task' | 'backbone' | 'size' | 'batch'> &
  Pick<WorkOptions, 'precision'> & {
    /** Pixels a side of Swin-T's patches; by default such that its grid is 56 x 56. */
    readonly patchSize?: number;
  };

/** The cost of a training step or of a forward pass. */
export interface LoadWork extends Work {
  readonly operations: readonly Operation[];
  /** Numbers of the model's parameters. */
  readonly parameters: number;
}

function basicBlock(
  counter: WorkCounter,
  name: string,
  x: Grid,
  out: number,
  stride: number,
): Grid {
  const y = counter.convolutionNorm(`${name}.conv1`, x, { out, kernel: 3, stride, padding: 1 });
  if (stride !== 1 || x.channels !== out) {
    counter.convolutionNorm(`${name}.downsample`, x, { out, kernel: 1, stride, padding: 0 });
  }
  counter.shared(name, x);
  return counter.convolutionNorm(
    `${name}.conv2`,
    y,
    { out, kernel: 3, stride: 1, padding: 1 },
    true,
  );
}

function resnet18(counter: WorkCounter, size: number): Grid {
  let x: Grid = { height: size, width: size, channels: 3 };
  x = counter.convolutionNorm('conv1', x, {
    out: 64,
    kernel: 7,
    stride: 2,
    padding: 3,
    first: true,
  });
  x = counter.maxPool('maxpool', x, 3, 2, 1);
  [64, 128, 256, 512].forEach((channels, i) => {
    x = basicBlock(counter, `layer${i + 1}.0`, x, channels, i === 0 ? 1 : 2);
    x = basicBlock(counter, `layer${i + 1}.1`, x, channels, 1);
  });
  return counter.globalAveragePool('avgpool', x);
}

function swinBlock(counter: WorkCounter, name: string, x: Grid, heads: number): Grid {
  const { channels } = x;
  counter.norm(`${name}.norm1`, x);
  counter.linear(`${name}.attn.qkv`, x, 3 * channels);
  counter.windowAttention(`${name}.attn`, x, heads, 7);
  counter.linear(`${name}.attn.proj`, x, channels);
  // Of a sum both gradients are dy itself, or dy times the sample's drop path scale.
  counter.elementwise(`${name}.add1`, x, 3, 2);
  counter.shared(`${name}.add1`, x);
  counter.norm(`${name}.norm2`, x);
  const hidden = counter.linear(`${name}.mlp.fc1`, x, 4 * channels);
  counter.elementwise(`${name}.mlp.gelu`, hidden, 2, 3);
  counter.linear(`${name}.mlp.fc2`, hidden, channels);
  counter.elementwise(`${name}.add2`, x, 3, 2);
  counter.shared(`${name}.add2`, x);
  return x;
}

function swinT(counter: WorkCounter, size: number, patchSize: number): Grid {
  const image = { height: size, width: size, channels: 3 };
  let x = counter.convolution('patch_embed', image, {
    out: 96,
    kernel: patchSize,
    stride: patchSize,
    padding: 0,
    bias: true,
    first: true,
  });
  x = counter.norm('patch_embed.norm', x);
  [2, 2, 6, 2].forEach((depth, i) => {
    const name = `layers.${i}`;
    for (let j = 0; j < depth; ++j) {
      x = swinBlock(counter, `${name}.blocks.${j}`, x, 3 * 2 ** i);
    }
    if (i === 3) return;
    const merged = counter.norm(`${name}.downsample.norm`, counter.patchMerge(name, x));
    x = counter.linear(`${name}.downsample.reduction`, merged, 2 * x.channels, false);
  });
  x = counter.globalAveragePool('avgpool', counter.norm('norm', x));
  x = counter.norm('feature.1', counter.linear('feature.0', x, x.channels, false));
  return counter.norm('feature.3', counter.linear('feature.2', x, 512, false));
}

/**
 * Counts a training step (forward, backward, SGD) or a forward pass in evaluation mode of the whole
 * network from the shapes of its layers. Left out: the images' preparation and the objective, some
 * thousandths of the whole.
 *
 * @throws RangeError where the size does not fit the network
 *
 * @example
 * workOf({ task: 'infer', backbone: 'resnet18', size: 224, batch: 1, precision: 'fp32' }).flops
 * // 3627385216, twice 1.81 G multiply-adds
 */
export function workOf({ backbone, size, patchSize, ...options }: Load): LoadWork {
  const counter = new WorkCounter(options);
  if (backbone === 'resnet18') {
    resnet18(counter, size);
  } else {
    const patch = patchSize ?? size / 56;
    const grid = size / patch;
    if (!Number.isInteger(patch) || !Number.isInteger(grid) || grid % 56 !== 0) {
      throw new RangeError(`Expected a grid divisible by 56 but received ${size} / ${patch}`);
    }
    swinT(counter, size, patch);
  }
  const expression = { height: 1, width: 1, channels: 512 };
  const hidden = counter.linear('MLP.fc1', expression, 128);
  counter.elementwise('MLP.relu', hidden, 2, 3);
  counter.linear('MLP.fc2', hidden, 512);
  counter.update();
  const { operations, parameters } = counter;
  const sum = (of: (operation: Operation) => number) =>
    operations.reduce((total, operation) => total + of(operation), 0);
  return { operations, parameters, flops: sum((o) => o.flops), bytes: sum((o) => o.bytes) };
}

/**
 * Seconds that no implementation of these operations, one after the other, can beat on a machine:
 * each is bound by its arithmetic or by its memory traffic. The share of the roofline that a
 * measurement reaches is this number divided by the measured seconds; a share above 1 says that
 * operations were fused or that tensors stayed in a cache.
 */
export function leastSeconds({ operations }: LoadWork, machine: Machine): number {
  return operations.reduce((total, { flops, bytes }) => {
    return total + Math.max(flops / machine.flopsPerSecond, bytes / machine.bytesPerSecond);
  }, 0);
}
