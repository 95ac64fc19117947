import { elementCount } from '../lib/types.js';
import type { NativeGraph, NativeOperation, NativeValue } from '../lib/native.js';

/** The minimum cost of an operation. */
export interface Work {
  /** Floating-point operations of matrix products; a multiplication and an addition count as two. */
  readonly flops: number;
  /** Bytes from and to the device's memory if each operation reads and writes a tensor once. */
  readonly bytes: number;
}

/** A part of the work of an operation of a network, or the update of the weights. */
export interface Operation extends Work {
  readonly name: string;
  readonly pass: 'forward' | 'backward' | 'update';
}

const elementBytes = { float32: 4, int32: 4, bfloat16: 2, uint8: 1 };

/** Bytes of a tensor. */
export function bytesOf({ shape, dtype }: NativeValue): number {
  return elementCount(shape) * elementBytes[dtype];
}

/** Sizes of what an operation of a graph reads and writes, and its work so far. */
export class OperationWork {
  readonly parts: Operation[] = [];
  /** The weights of matrix products; in bfloat16 a product reads a 16-bit copy. */
  readonly matrices: string[] = [];

  constructor(
    private readonly graph: NativeGraph,
    private readonly operation: NativeOperation,
  ) {}

  get name(): string {
    return this.operation.name;
  }

  number(attribute: string): number {
    const value = this.operation.attributes[attribute];
    if (typeof value !== 'number') throw new Error(`${this.name} has no number '${attribute}'`);
    return value;
  }

  /** Whether an activation follows the operation's computation. */
  get isActivated(): boolean {
    return this.operation.attributes['activation'] !== 'none';
  }

  /** Number of elements of a tensor; 0 if the operation has none in that role. */
  elements(role: string): number {
    const value = this.value(role);
    return value ? elementCount(value.shape) : 0;
  }

  /** The last dimension of a tensor. */
  channels(role: string): number {
    return this.value(role)!.shape.at(-1)!;
  }

  bytes(...roles: readonly string[]): number {
    return roles.reduce((sum, role) => {
      const value = this.value(role);
      return value ? sum + bytesOf(value) : sum;
    }, 0);
  }

  /** Whether the backward pass computes the gradient of an input. */
  wantsGradient(role: string): boolean {
    return this.value(role)?.wantsGradient ?? false;
  }

  forward(flops: number, bytes: number): void {
    this.parts.push({ name: this.name, pass: 'forward', flops, bytes });
  }

  backward(flops: number, bytes: number, suffix = ''): void {
    this.parts.push({ name: this.name + suffix, pass: 'backward', flops, bytes });
  }

  /** Number of elements of a weight, which is one factor of a matrix product. */
  matrix(role: string): number {
    const name = this.operation.parameters[role]!;
    this.matrices.push(name);
    return elementCount(this.graph.parameters.find((parameter) => parameter.name === name)!.shape);
  }

  private value(role: string): NativeValue | undefined {
    const index = this.operation.inputs[role] ?? this.operation.outputs[role];
    return index === undefined ? undefined : this.graph.values[index];
  }
}

/**
 * The work of an operation, by its type. Left out: vectors per channel or row, and everything in the
 * objective and the head, some thousandths of the total.
 */
const costs: ReadonlyMap<string, (work: OperationWork) => void> = new Map([
  // For a sum both gradients are dy itself, or dy times the sample's drop path scale.
  ['add', (work) => passes(work, work.bytes('a', 'b', 'y'), 2)],
  ['batch_norm', batchNorm],
  ['batch_norm_evaluation', (work) => passes(work, work.bytes('x', 'residual', 'y'), 0)],
  ['conv2d', (work) => product(work)],
  ['conv_norm', (work) => product(work)],
  ['cosine_logits', nothing],
  ['global_average_pool', resampled],
  ['ke2nt_objective', nothing],
  ['layer_norm', (work) => passes(work, work.bytes('x', 'y'), 3)],
  ['linear', (work) => product(work)],
  ['linear_gelu', linearGelu],
  ['max_pool', resampled],
  ['patch_merge', resampled],
  ['relu', (work) => passes(work, work.bytes('x', 'y'), 3)],
  ['window_attention', windowAttention],
]);

/**
 * The minimum work of an operation, forward and backward.
 *
 * @throws Error for a type whose cost is not known here
 */
export function workOfOperation(graph: NativeGraph, operation: NativeOperation): OperationWork {
  const cost = costs.get(operation.type);
  if (!cost) throw new Error(`the work of '${operation.type}' (${operation.name}) is not known`);
  const work = new OperationWork(graph, operation);
  cost(work);
  return work;
}

function nothing(): void {
  // Too little to count.
}

/** Reads and writes tensors; its backward pass covers a given number of tensors of y's size. */
function passes(work: OperationWork, forwardBytes: number, backwardTensors: number): void {
  work.forward(0, forwardBytes);
  work.backward(0, backwardTensors * work.bytes('y'));
}

/** x becomes a y of another size, and back; max pooling remembers which elements were the largest. */
function resampled(work: OperationWork): void {
  const bytes = work.bytes('x', 'y', 'argmax');
  work.forward(0, bytes);
  work.backward(0, bytes);
}

/** dy, x and, for an activation, y are read; dx and a residual's gradient written. */
function batchNorm(work: OperationWork): void {
  work.forward(0, work.bytes('x', 'residual', 'y'));
  const activated = work.isActivated ? work.bytes('y') : 0;
  work.backward(0, 3 * work.bytes('y') + activated + work.bytes('residual'));
}

/** A convolution or a linear layer: one product forward, one for each gradient. */
function product(work: OperationWork): void {
  const weights = work.matrix('weight');
  const [x, y] = [work.bytes('x'), work.bytes('y')];
  const outputs = work.elements('y');
  // A product reads its weight in the type of the activations.
  const weightBytes = weights * (y / outputs);
  const flops = 2 * outputs * (weights / work.channels('y'));
  work.forward(flops, x + weightBytes + work.bytes('y', 'residual', 'pre_activation'));
  if (work.wantsGradient('x')) work.backward(flops, y + weightBytes + x, '.dx');
  work.backward(flops, x + y + weights * elementBytes.float32, '.dweight');
}

/** The activation's gradient takes its own pass, over dy in place. */
function linearGelu(work: OperationWork): void {
  work.backward(0, 2 * work.bytes('y') + work.bytes('pre_activation'), '.dgelu');
  product(work);
}

/**
 * Forward: two products of (tokens, depth) and (depth, tokens) per window and head; backward: five, the
 * scores again, dP, dQ, dK and dV.
 */
function windowAttention(work: OperationWork): void {
  const flops = 2 * work.elements('y') * work.number('window') ** 2;
  work.forward(2 * flops, work.bytes('qkv', 'y', 'log_sum_exp'));
  work.backward(5 * flops, work.bytes('qkv', 'qkv', 'y', 'log_sum_exp'));
}
