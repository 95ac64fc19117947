import { CountenanceError } from '../errors.js';
import type { StateDict } from '../types.js';
import type { OnnxGraph, ValueName } from './onnx/graph.js';

/**
 * The layers the networks are made of, in evaluation mode, as ONNX nodes. Weights keep PyTorch's names
 * and layouts. Pictures are (B, C, H, W), vectors and tokens are rows: (B, C) or (B * tokens, C).
 */
export class Layers {
  /** @param state the weights by PyTorch's names */
  constructor(
    readonly graph: OnnxGraph,
    readonly state: StateDict,
  ) {}

  /** A weight or running statistic, as a constant of the graph under the same name. */
  weight(name: string): ValueName {
    const tensor = this.state.get(name);
    if (!tensor) throw new CountenanceError('ERR_INTERNAL', `The model has no tensor '${name}'`);
    return this.graph.once(name, () => this.graph.tensor(name, tensor));
  }

  /** Convolution with zero padding on every side. */
  conv(
    x: ValueName,
    name: string,
    options: {
      readonly kernel: number;
      readonly stride: number;
      readonly padding: number;
      readonly bias?: boolean;
    },
  ): ValueName {
    const { kernel, stride, padding, bias } = options;
    const inputs = [x, this.weight(`${name}.weight`)];
    if (bias) inputs.push(this.weight(`${name}.bias`));
    return this.graph.node(name, 'Conv', inputs, {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
    });
  }

  /** Batch norm with the running statistics. */
  batchNorm(x: ValueName, name: string, epsilon: number): ValueName {
    const parameters = ['weight', 'bias', 'running_mean', 'running_var'];
    const inputs = [x, ...parameters.map((parameter) => this.weight(`${name}.${parameter}`))];
    return this.graph.node(name, 'BatchNormalization', inputs, { epsilon: { float: epsilon } });
  }

  /** y = x W^T + b; W (out, in). */
  linear(x: ValueName, name: string, bias = true): ValueName {
    const inputs = [x, this.weight(`${name}.weight`)];
    if (bias) inputs.push(this.weight(`${name}.bias`));
    return this.graph.node(name, 'Gemm', inputs, { transB: 1 });
  }

  /** Over the last dimension. */
  layerNorm(x: ValueName, name: string): ValueName {
    const inputs = [x, this.weight(`${name}.weight`), this.weight(`${name}.bias`)];
    const attributes = { axis: -1, epsilon: { float: 1e-5 } };
    return this.graph.node(name, 'LayerNormalization', inputs, attributes);
  }

  relu(x: ValueName, name: string): ValueName {
    return this.graph.node(name, 'Relu', [x]);
  }

  /** x (1 + erf(x / sqrt 2)) / 2; the operator Gelu came with a later set. */
  gelu(x: ValueName, name: string): ValueName {
    const { graph } = this;
    const scaled = graph.node(`${name}/scaled`, 'Mul', [x, graph.scalar(Math.SQRT1_2)]);
    const erf = graph.node(name, 'Erf', [scaled]);
    const share = graph.node(`${name}/share`, 'Add', [erf, graph.scalar(1)]);
    const half = graph.node(`${name}/half`, 'Mul', [x, graph.scalar(0.5)]);
    return graph.node(`${name}/gelu`, 'Mul', [half, share]);
  }

  add(a: ValueName, b: ValueName, name: string): ValueName {
    return this.graph.node(name, 'Add', [a, b]);
  }

  /** One dimension may be -1: whatever is left, the batch. */
  reshape(x: ValueName, name: string, shape: readonly number[]): ValueName {
    return this.graph.node(name, 'Reshape', [x, this.graph.integers(shape)]);
  }

  transpose(x: ValueName, name: string, order: readonly number[]): ValueName {
    return this.graph.node(name, 'Transpose', [x], { perm: order });
  }
}
