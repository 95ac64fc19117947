import { CountenanceError } from '../errors.js';
import type { NativeValue } from '../native.js';
import type { OnnxGraph, ValueName } from './onnx/graph.js';

/**
 * How a value of the core, (B, H, W, C) or (B, C), is laid out in the file. `planes`: (B, C, H, W), for the
 * convolutions; `rows`: (B * H * W, C) or (B, C), for the matrix products.
 */
export type Layout = 'planes' | 'rows';

/** The core's values in an ONNX graph, each in its original layout and in those requested since. */
export class Values {
  private readonly names: Map<Layout, ValueName>[];

  constructor(
    private readonly onnx: OnnxGraph,
    private readonly values: readonly NativeValue[],
  ) {
    this.names = values.map(() => new Map<Layout, ValueName>());
  }

  /** Shape in the core, with the batch size that it was described for. */
  shapeOf(index: number): readonly number[] {
    return this.values[index]!.shape;
  }

  set(index: number, layout: Layout, name: ValueName): void {
    this.names[index]!.set(layout, name);
  }

  /** Its original layout. */
  layoutOf(index: number): Layout {
    for (const layout of this.names[index]!.keys()) return layout;
    throw new CountenanceError(
      'ERR_INTERNAL',
      `Value ${index} of the graph is read but not exported`,
    );
  }

  /** Transposed, once, if it has another layout. */
  get(index: number, layout: Layout): ValueName {
    const made = this.layoutOf(index);
    const names = this.names[index]!;
    let name = names.get(layout);
    if (name === undefined) {
      const [, height, width, channels] = this.shapeOf(index) as [number, number, number, number];
      name = `${names.get(made)!}/${layout}`;
      name =
        layout === 'rows'
          ? this.reshape(this.transpose(names.get(made)!, name, [0, 2, 3, 1]), name, [-1, channels])
          : this.transpose(
              this.reshape(names.get(made)!, name, [-1, height, width, channels]),
              name,
              [0, 3, 1, 2],
            );
      names.set(layout, name);
    }
    return name;
  }

  private transpose(x: ValueName, name: string, order: readonly number[]): ValueName {
    return this.onnx.node(name, 'Transpose', [x], { perm: order });
  }

  private reshape(x: ValueName, name: string, shape: readonly number[]): ValueName {
    return this.onnx.node(name, 'Reshape', [x, this.onnx.integers(shape)]);
  }
}
