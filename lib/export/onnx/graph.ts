import { Message } from '../../protobuf.js';
import type { TensorData } from '../../types.js';
import { machineIsLittleEndian, swapBytes } from '../../weights/dtype.js';

/** `TensorProto.DataType`. */
const elementTypes = { float: 1, uint8: 2, int64: 7 } as const;
/** Element types used in these graphs. */
export type ElementType = keyof typeof elementTypes;

/** Name of a value in the graph: an input, a weight, or the result of a node. */
export type ValueName = string;

/** A dimension: its size, or the name of one that is known only when the model runs. */
export type Dimension = number | string;

/** An attribute of a node; a float is wrapped, since JavaScript cannot tell 1.0 from 1. */
export type Attribute = number | readonly number[] | { readonly float: number };

/** `AttributeProto.AttributeType`. */
const attributeTypes = { float: 1, int: 2, ints: 7 } as const;

/**
 * An ONNX graph under construction. Every method that adds something returns the name of its value, to
 * be passed to the next node; names must be new.
 *
 * Messages and field numbers: `onnx/onnx.proto3` of the ONNX project.
 *
 * @example
 * const graph = new OnnxGraph('net');
 * const x = graph.input('x', 'float', ['batch', 8]);
 * graph.output('y', graph.node('act', 'Relu', [x]), ['batch', 8]);
 */
export class OnnxGraph {
  private readonly nodes: Message[] = [];
  private readonly initializers: Message[] = [];
  private readonly inputs: Message[] = [];
  private readonly outputs: Message[] = [];
  private readonly names = new Set<ValueName>();

  constructor(private readonly name: string) {}

  /** An input of the graph. */
  input(name: string, type: ElementType, shape: readonly Dimension[]): ValueName {
    this.inputs.push(valueInfo(name, type, shape));
    return this.claim(name);
  }

  /** Makes a float32 value an output of the graph, under its own name. */
  output(name: string, value: ValueName, shape: readonly Dimension[]): void {
    this.addNode(`${name}/Identity`, 'Identity', [value], [this.claim(name)], {});
    this.outputs.push(valueInfo(name, 'float', shape));
  }

  /** A float32 constant such as a weight. Its memory is not copied. */
  tensor(name: string, { shape, data }: TensorData): ValueName {
    return this.addInitializer(name, 'float', shape, data);
  }

  /** A single float32; equal ones are one constant. */
  scalar(value: number): ValueName {
    return this.once(`float_${value}`, (name) =>
      this.tensor(name, { shape: [], data: Float32Array.of(value) }),
    );
  }

  /** A list of int64, such as a shape; equal names are one constant. */
  integers(values: readonly number[], name = `int64_${values.join('_')}`): ValueName {
    return this.once(name, () =>
      this.addInitializer(name, 'int64', [values.length], BigInt64Array.from(values, BigInt)),
    );
  }

  /** A constant that is made on first use. */
  once(name: string, make: (name: string) => ValueName): ValueName {
    return this.names.has(name) ? name : make(name);
  }

  /** A node with one output. */
  node(
    name: string,
    type: string,
    inputs: readonly ValueName[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): ValueName {
    const output = this.claim(`${name}/${type}`);
    this.addNode(output, type, inputs, [output], attributes);
    return output;
  }

  /** Splits the last dimension into `count` equal parts. */
  split(name: string, input: ValueName, count: number): ValueName[] {
    const outputs = Array.from({ length: count }, (_, i) => this.claim(`${name}/Split_${i}`));
    this.addNode(`${name}/Split`, 'Split', [input], outputs, { axis: -1 });
    return outputs;
  }

  /** `GraphProto`. */
  encode(): Message {
    const graph = new Message();
    for (const node of this.nodes) graph.message(1, node);
    graph.string(2, this.name);
    for (const initializer of this.initializers) graph.message(5, initializer);
    for (const input of this.inputs) graph.message(11, input);
    for (const output of this.outputs) graph.message(12, output);
    return graph;
  }

  private claim(name: ValueName): ValueName {
    if (this.names.has(name)) throw new Error(`the graph has two values called '${name}'`);
    this.names.add(name);
    return name;
  }

  /** `NodeProto`. */
  private addNode(
    name: string,
    type: string,
    inputs: readonly ValueName[],
    outputs: readonly ValueName[],
    attributes: Readonly<Record<string, Attribute>>,
  ): void {
    const node = new Message();
    for (const input of inputs) node.string(1, input);
    for (const output of outputs) node.string(2, output);
    node.string(3, name).string(4, type);
    for (const [key, value] of Object.entries(attributes)) node.message(5, attribute(key, value));
    this.nodes.push(node);
  }

  /** `TensorProto`, with its values as little-endian `raw_data`. */
  private addInitializer(
    name: string,
    type: ElementType,
    shape: readonly number[],
    values: Float32Array | BigInt64Array,
  ): ValueName {
    let bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    if (!machineIsLittleEndian) {
      bytes = bytes.slice();
      swapBytes(bytes, values.BYTES_PER_ELEMENT);
    }
    const tensor = new Message().ints(1, shape).int(2, elementTypes[type]);
    this.initializers.push(tensor.string(8, name).bytes(9, bytes));
    return this.claim(name);
  }
}

/** `AttributeProto`. */
function attribute(name: string, value: Attribute): Message {
  const message = new Message().string(1, name);
  if (typeof value === 'number') return message.int(3, value).int(20, attributeTypes.int);
  if ('float' in value) return message.float(2, value.float).int(20, attributeTypes.float);
  return message.ints(8, value).int(20, attributeTypes.ints);
}

/** `ValueInfoProto` of a tensor. */
function valueInfo(name: string, type: ElementType, shape: readonly Dimension[]): Message {
  const dimensions = new Message();
  for (const size of shape) {
    const dimension = new Message();
    if (typeof size === 'string') dimension.string(2, size);
    else dimension.int(1, size);
    dimensions.message(1, dimension);
  }
  const tensor = new Message().int(1, elementTypes[type]).message(2, dimensions);
  return new Message().string(1, name).message(2, new Message().message(1, tensor));
}
