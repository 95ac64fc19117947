import { CountenanceError } from '../errors.js';
import type { NativeOperation } from '../native.js';
import type { TextEmbeddings } from '../text/embeddings.js';
import type { StateDict, TensorData } from '../types.js';
import type { Attribute, OnnxGraph, ValueName } from './onnx/graph.js';
import type { Layout, Values } from './values.js';

/** Where every operation of a network finds its operands. */
export interface Operands {
  readonly onnx: OnnxGraph;
  readonly values: Values;
  /** The weights by their PyTorch names. */
  readonly state: StateDict;
  /** The input `text` of the core's graph. */
  readonly text: Pick<TextEmbeddings, 'shape' | 'data'>;
}

/** One operation of the core on its way into an ONNX graph. Nodes are named after it. */
export class Step {
  readonly onnx: OnnxGraph;

  constructor(
    readonly operands: Operands,
    private readonly operation: NativeOperation,
  ) {
    this.onnx = operands.onnx;
  }

  get name(): string {
    return this.operation.name;
  }

  /** An attribute that is a number. */
  number(name: string): number {
    const value = this.operation.attributes[name];
    if (typeof value !== 'number') throw this.lacks(`number '${name}'`);
    return value;
  }

  /** The activation applied to the operation's result. */
  get activation(): string {
    return String(this.operation.attributes['activation'] ?? 'none');
  }

  has(role: string): boolean {
    return role in this.operation.inputs || role in this.operation.parameters;
  }

  /** Shape of an input in the core: (B, H, W, C) or (B, C). */
  shape(role: string): readonly number[] {
    return this.operands.values.shapeOf(this.index(role));
  }

  /** The layout that an input already has. */
  layout(role: string): Layout {
    return this.operands.values.layoutOf(this.index(role));
  }

  input(role: string, layout: Layout): ValueName {
    return this.operands.values.get(this.index(role), layout);
  }

  /** A weight or running statistic, as it is in the state dict. */
  tensor(role: string): TensorData {
    const tensor = this.operands.state.get(this.parameter(role));
    if (!tensor) throw this.lacks(`tensor '${this.parameter(role)}'`);
    return tensor;
  }

  /** The same as a constant of the file, under its PyTorch name. */
  weight(role: string): ValueName {
    return this.onnx.once(this.parameter(role), (name) =>
      this.onnx.tensor(name, this.tensor(role)),
    );
  }

  /** A node; `part` distinguishes it from others of its type in this operation. */
  node(
    type: string,
    inputs: readonly ValueName[],
    attributes: Readonly<Record<string, Attribute>> = {},
    part?: string,
  ): ValueName {
    return this.onnx.node(part ? `${this.name}/${part}` : this.name, type, inputs, attributes);
  }

  /** One dimension may be -1: whatever is left, the batch. */
  reshape(x: ValueName, shape: readonly number[], part?: string): ValueName {
    return this.node('Reshape', [x, this.onnx.integers(shape)], {}, part);
  }

  transpose(x: ValueName, order: readonly number[], part?: string): ValueName {
    return this.node('Transpose', [x], { perm: order }, part);
  }

  /** Sets the operation's output. */
  give(name: ValueName, layout: Layout, role = 'y'): void {
    const index = this.operation.outputs[role];
    if (index === undefined) throw this.lacks(`output '${role}'`);
    this.operands.values.set(index, layout, name);
  }

  private index(role: string): number {
    const index = this.operation.inputs[role];
    if (index === undefined) throw this.lacks(`input '${role}'`);
    return index;
  }

  private parameter(role: string): string {
    const name = this.operation.parameters[role];
    if (name === undefined) throw this.lacks(`parameter '${role}'`);
    return name;
  }

  private lacks(what: string): CountenanceError {
    const { name, type } = this.operation;
    return new CountenanceError('ERR_INTERNAL', `Operation '${name}' (${type}) has no ${what}`);
  }
}
