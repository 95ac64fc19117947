import { encoderNamed } from '../lib/core-options.js';
import { callNative, nativeAddon } from '../lib/load-native.js';
import type { NativeGraph } from '../lib/native.js';
import { elementCount } from '../lib/types.js';
import type { Scenario } from './scenarios.js';
import { bytesOf, workOfOperation, type Operation, type OperationWork, type Work } from './work.js';

/** The peak performance of a device. */
export interface Machine {
  /** Floating-point operations per second for matrix products in the given precision. */
  readonly flopsPerSecond: number;
  /** Bytes per second from and to its memory. */
  readonly bytesPerSecond: number;
}

/** A network at a batch size, in one precision. */
export interface Load extends Pick<Scenario, 'task' | 'backbone' | 'size' | 'batch' | 'precision'> {
  /** Side of a patch in pixels, if images are split; by default the one that makes the smallest grid. */
  readonly patchSize?: number;
}

/** The cost of a training step or of a forward pass. */
export interface LoadWork extends Work {
  readonly operations: readonly Operation[];
  /** Number of parameters of the model. */
  readonly parameters: number;
}

/**
 * Counts a training step (forward, backward, SGD) or a forward pass in evaluation mode from the
 * operations from which the core builds the network. Left out: preparing the images and the objective,
 * some thousandths of the total.
 *
 * @throws CountenanceError ERR_INVALID_ARGUMENT if the size does not fit the network
 * @throws Error for an operation whose cost is not known
 *
 * @example
 * workOf({ task: 'infer', backbone: 'resnet18', size: 224, batch: 1, precision: 'fp32' }).flops
 * // 3627385216, twice 1.81 G multiply-adds
 */
export function workOf(load: Load): LoadWork {
  const graph = graphOf(load);
  const works = graph.operations.map((operation) => workOfOperation(graph, operation));
  const parts = works.flatMap((work) => work.parts);
  const parameters = numbersOf(graph, ({ trainable }) => trainable);
  const training = load.task === 'train';
  const operations = training
    ? [...parts, ...sharedGradients(graph, works), update(graph, works, load.precision)]
    : parts.filter(({ pass }) => pass === 'forward');
  const sum = (of: (operation: Operation) => number) =>
    operations.reduce((total, operation) => total + of(operation), 0);
  return { operations, parameters, flops: sum((o) => o.flops), bytes: sum((o) => o.bytes) };
}

function graphOf({ task, backbone, size, batch, precision, patchSize }: Load): NativeGraph {
  const { patchSizes, grid } = encoderNamed(backbone);
  return callNative(() =>
    nativeAddon().describeGraph({
      ...{ backbone, inputSize: size, batch, precision },
      patchSize: patchSize ?? (patchSizes.length > 0 ? size / grid : 2),
      dropPath: 0.1,
      classes: 7,
      neutral: 6,
      logitScale: 100,
      mode: task === 'train' ? 'training' : 'evaluation',
    }),
  );
}

/** A value with several readers: each but the first in the backward pass adds to what is there. */
function sharedGradients(graph: NativeGraph, works: readonly OperationWork[]): Operation[] {
  const readers = graph.values.map((): OperationWork[] => []);
  graph.operations.forEach(({ inputs }, i) => {
    if (works[i]!.parts.length === 0) return;
    for (const index of Object.values(inputs)) readers[index]!.push(works[i]!);
  });
  return graph.values.flatMap((value, index) => {
    const adding = value.wantsGradient ? readers[index]!.slice(0, -1) : [];
    return adding.map(({ name }) => ({
      ...{ name: `${name}.shared`, pass: 'backward' as const, flops: 0 },
      bytes: bytesOf(value),
    }));
  });
}

/**
 * SGD's step: weights, velocities and gradients, all float32, are read, the first two written; in
 * bfloat16 also the 16-bit copies of matrices.
 */
function update(
  graph: NativeGraph,
  works: readonly OperationWork[],
  precision: Load['precision'],
): Operation {
  const matrices = new Set(works.flatMap((work) => work.matrices));
  const copied = precision === 'bf16' ? numbersOf(graph, ({ name }) => matrices.has(name)) : 0;
  const bytes = 5 * 4 * numbersOf(graph, ({ trainable }) => trainable) + 2 * copied;
  return { name: 'sgd', pass: 'update', flops: 0, bytes };
}

/** Number of elements in some of a graph's parameters. */
function numbersOf(
  { parameters }: NativeGraph,
  counts: (parameter: NativeGraph['parameters'][number]) => boolean,
): number {
  return parameters.filter(counts).reduce((sum, { shape }) => sum + elementCount(shape), 0);
}

/**
 * Seconds that no implementation of these operations, one after the other, can beat on a machine:
 * each is bound by its arithmetic or by its memory traffic. The fraction of the roofline that a
 * measurement reaches is this number divided by the measured seconds; a fraction above 1 means that
 * operations were fused or that tensors stayed in a cache.
 */
export function leastSeconds({ operations }: LoadWork, machine: Machine): number {
  return operations.reduce((total, { flops, bytes }) => {
    return total + Math.max(flops / machine.flopsPerSecond, bytes / machine.bytesPerSecond);
  }, 0);
}
