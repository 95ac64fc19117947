import type { ValueName } from './onnx/graph.js';
import type { Step } from './step.js';
import {
  inverseOrder,
  mergeOrder,
  relativePositions,
  windowKinds,
  windowMasks,
  windowOrder,
  type WindowGrid,
} from './windows.js';

/**
 * softmax(q k^T / sqrt(d) + bias + mask) v in the windows of a grid of tokens, qkv (B, H, W, 3C). The
 * cyclic shift and the split into windows are one Gather of tokens with constant indices.
 */
export function windowAttention(step: Step): void {
  const { onnx } = step;
  const [, height, width, wide] = step.shape('qkv') as [number, number, number, number];
  const grid = { height, width, window: step.number('window'), shift: step.number('shift') };
  const channels = wide / 3;
  const heads = step.number('heads');
  const depth = channels / heads;
  const tokens = grid.window ** 2;
  const windows = (height * width) / tokens;
  const order = windowOrder(grid);
  const suffix = suffixOf(grid);

  const qkv = step.input('qkv', 'rows');
  const placed = gatherTokens(step, qkv, 'windows', wide, order, `window_order_${suffix}`);
  const [q, k, v] = onnx.split(step.name, placed, 3).map((part, i) => {
    const letter = 'qkv'.charAt(i);
    const split = step.reshape(part, [-1, windows, tokens, heads, depth], letter);
    // (B, windows, heads, tokens, depth); the keys are transposed.
    return step.transpose(split, letter === 'k' ? [0, 1, 3, 4, 2] : [0, 1, 3, 2, 4], letter);
  });
  const scaled = step.node('Mul', [q!, onnx.scalar(depth ** -0.5)], {}, 'q');
  let scores = step.node('MatMul', [scaled, k!], {}, 'scores');
  scores = step.node('Add', [scores, positionBias(step, heads, grid.window)], {}, 'bias');
  if (grid.shift > 0) scores = step.node('Add', [scores, shiftMask(step, grid)], {}, 'mask');
  const weights = step.node('Softmax', [scores], { axis: -1 });
  let y = step.node('MatMul', [weights, v!], {}, 'values');
  y = step.transpose(y, [0, 1, 3, 2, 4], 'values');
  y = step.reshape(y, [-1, channels], 'values');
  y = gatherTokens(step, y, 'image', channels, inverseOrder(order), `image_order_${suffix}`);
  step.give(step.reshape(y, [-1, channels], 'rows'), 'rows');
}

/** Merges groups of 2 x 2 tokens into one: (B, H, W, C) -> (B, H/2, W/2, 4C). */
export function patchMerge(step: Step): void {
  const [, height, width, channels] = step.shape('x') as [number, number, number, number];
  const order = mergeOrder(height, width);
  const x = step.input('x', 'rows');
  const groups = gatherTokens(step, x, 'tokens', channels, order, `merge_order_${height}_${width}`);
  step.give(step.reshape(groups, [-1, 4 * channels]), 'rows');
}

/** Rows (B * N, width) as (B, N, width) with the tokens of each image in another order. */
function gatherTokens(
  step: Step,
  x: ValueName,
  part: string,
  width: number,
  order: readonly number[],
  constant: string,
): ValueName {
  const tokens = step.reshape(x, [-1, order.length, width], part);
  return step.node('Gather', [tokens, step.onnx.integers(order, constant)], { axis: 1 }, part);
}

/** Names the constants shared by the operations on equal grids. */
const suffixOf = ({ height, width, window, shift }: WindowGrid): string =>
  [height, width, window, shift].join('_');

/** (heads, tokens, tokens): the bias of each pair of positions in a window. */
function positionBias(step: Step, heads: number, window: number): ValueName {
  const table = step.tensor('bias_table').data;
  const rows = relativePositions(window);
  const data = new Float32Array(heads * rows.length);
  for (let head = 0; head < heads; head++) {
    rows.forEach((row, i) => (data[head * rows.length + i] = table[row * heads + head]!));
  }
  const shape = [heads, window ** 2, window ** 2];
  return step.onnx.tensor(`${step.name}/relative_position_bias`, { shape, data });
}

/** (windows, 1, tokens, tokens): the mask of each window of a rolled image. */
function shiftMask({ onnx }: Step, grid: WindowGrid): ValueName {
  const name = `window_mask_${suffixOf(grid)}`;
  return onnx.once(`${name}/Gather`, () => {
    const { window, shift } = grid;
    const masks = onnx.once(`window_masks_${window}_${shift}`, (constant) =>
      onnx.tensor(constant, {
        shape: [4, 1, window ** 2, window ** 2],
        data: windowMasks(window, shift),
      }),
    );
    const kinds = onnx.integers(windowKinds(grid), `window_kinds_${suffixOf(grid)}`);
    return onnx.node(name, 'Gather', [masks, kinds], { axis: 0 });
  });
}
