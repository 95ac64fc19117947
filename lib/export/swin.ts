import type { ModelConfig } from '../model/config.js';
import type { Layers } from './layers.js';
import type { ValueName } from './onnx/graph.js';
import {
  inverseOrder,
  mergeOrder,
  relativePositions,
  windowKinds,
  windowMasks,
  windowOrder,
  windowSize,
  windowTokens,
} from './windows.js';

const embed = 96;
const depths = [2, 2, 6, 2] as const;
const headDepth = 32;
/** Of the batch norms of the head. */
const epsilon = 2e-5;

/** Tokens of a stage: rows (B * grid * grid, channels). */
interface Grid {
  readonly grid: number;
  readonly channels: number;
}

/**
 * Swin-T, as native/models/swin.cpp builds it: images (B, 3, S, S) -> (B, 512). The cyclic shift, the
 * cut into windows and patch merging are each one Gather of tokens with constant places.
 *
 * @param name what its parameters' names begin with, without the dot
 */
export function swinT(
  layers: Layers,
  images: ValueName,
  name: string,
  { inputSize, patchSize }: Pick<ModelConfig, 'inputSize' | 'patchSize'>,
): ValueName {
  let at: Grid = { grid: inputSize / patchSize, channels: embed };
  const patches = layers.conv(images, `${name}.patch_embed.proj`, {
    kernel: patchSize,
    stride: patchSize,
    padding: 0,
    bias: true,
  });
  let x = layers.transpose(patches, `${name}.patch_embed`, [0, 2, 3, 1]);
  x = layers.reshape(x, `${name}.patch_embed`, [-1, embed]);
  x = layers.layerNorm(x, `${name}.patch_embed.norm`);
  depths.forEach((depth, stage) => {
    for (let j = 0; j < depth; j++) {
      // Every second block works on shifted windows, unless one window covers the grid.
      const shift = j % 2 === 1 && at.grid > windowSize ? Math.floor(windowSize / 2) : 0;
      x = block(layers, x, `${name}.layers.${stage}.blocks.${j}`, at, shift);
    }
    if (stage === depths.length - 1) return;
    x = patchMerging(layers, x, `${name}.layers.${stage}.downsample`, at);
    at = { grid: at.grid / 2, channels: at.channels * 2 };
  });
  x = layers.layerNorm(x, `${name}.norm`);
  x = layers.reshape(x, `${name}.pool`, [-1, at.grid * at.grid, at.channels]);
  x = layers.graph.node(`${name}.pool`, 'ReduceMean', [x], { axes: [1], keepdims: 0 });
  x = layers.batchNorm(layers.linear(x, `${name}.feature.0`, false), `${name}.feature.1`, epsilon);
  x = layers.linear(x, `${name}.feature.2`, false);
  return layers.batchNorm(x, `${name}.feature.3`, epsilon);
}

function block(layers: Layers, x: ValueName, name: string, at: Grid, shift: number): ValueName {
  const attended = attention(
    layers,
    layers.layerNorm(x, `${name}.norm1`),
    `${name}.attn`,
    at,
    shift,
  );
  x = layers.add(x, attended, `${name}.attn.residual`);
  let hidden = layers.linear(layers.layerNorm(x, `${name}.norm2`), `${name}.mlp.fc1`);
  hidden = layers.gelu(hidden, `${name}.mlp.act`);
  return layers.add(x, layers.linear(hidden, `${name}.mlp.fc2`), `${name}.mlp.residual`);
}

/** softmax(q k^T / sqrt(d) + bias + mask) v in windows of 7 x 7 tokens. */
function attention(
  layers: Layers,
  x: ValueName,
  name: string,
  { grid, channels }: Grid,
  shift: number,
): ValueName {
  const { graph } = layers;
  const heads = channels / headDepth;
  const windows = (grid / windowSize) ** 2;
  const order = windowOrder(grid, shift);
  const suffix = `${grid}_${shift}`;

  const qkv = layers.linear(x, `${name}.qkv`);
  const placed = gatherTokens(
    layers,
    qkv,
    `${name}.windows`,
    3 * channels,
    order,
    `window_order_${suffix}`,
  );
  const [q, k, v] = graph.split(`${name}.qkv`, placed, 3).map((part, i) => {
    const letter = 'qkv'.charAt(i);
    const shape = [-1, windows, windowTokens, heads, headDepth];
    // (B, windows, heads, tokens, depth); the keys come transposed.
    const axes = letter === 'k' ? [0, 1, 3, 4, 2] : [0, 1, 3, 2, 4];
    const split = layers.reshape(part, `${name}.${letter}`, shape);
    return layers.transpose(split, `${name}.${letter}`, axes);
  });
  const scaled = graph.node(`${name}.q`, 'Mul', [q!, graph.scalar(headDepth ** -0.5)]);
  let scores = graph.node(`${name}.scores`, 'MatMul', [scaled, k!]);
  scores = layers.add(scores, positionBias(layers, name, heads), `${name}.bias`);
  if (shift > 0) scores = layers.add(scores, shiftMask(layers, grid, shift), `${name}.mask`);
  const weights = graph.node(name, 'Softmax', [scores], { axis: -1 });
  let y = graph.node(`${name}.values`, 'MatMul', [weights, v!]);
  y = layers.transpose(y, `${name}.values`, [0, 1, 3, 2, 4]);
  y = layers.reshape(y, `${name}.values`, [-1, channels]);
  const inverse = inverseOrder(order);
  y = gatherTokens(layers, y, `${name}.image`, channels, inverse, `image_order_${suffix}`);
  y = layers.reshape(y, `${name}.image_rows`, [-1, channels]);
  return layers.linear(y, `${name}.proj`);
}

/** Rows (B * N, width) as (B, N, width) with the tokens of each image in another order. */
function gatherTokens(
  layers: Layers,
  x: ValueName,
  name: string,
  width: number,
  order: readonly number[],
  constant: string,
): ValueName {
  const { graph } = layers;
  const tokens = layers.reshape(x, name, [-1, order.length, width]);
  return graph.node(name, 'Gather', [tokens, graph.integers(order, constant)], { axis: 1 });
}

/** (heads, 49, 49): the bias of each pair of places in a window. */
function positionBias(layers: Layers, name: string, heads: number): ValueName {
  const table = layers.state.get(`${name}.relative_position_bias_table`)!.data;
  const rows = relativePositions();
  const data = new Float32Array(heads * rows.length);
  for (let head = 0; head < heads; head++) {
    rows.forEach((row, i) => (data[head * rows.length + i] = table[row * heads + head]!));
  }
  const shape = [heads, windowTokens, windowTokens];
  return layers.graph.tensor(`${name}.relative_position_bias`, { shape, data });
}

/** (windows, 1, 49, 49): the mask of each window of a rolled picture. */
function shiftMask(layers: Layers, grid: number, shift: number): ValueName {
  const { graph } = layers;
  return graph.once(`window_mask_${grid}/Gather`, () => {
    const masks = graph.once('window_masks', (constant) =>
      graph.tensor(constant, {
        shape: [4, 1, windowTokens, windowTokens],
        data: windowMasks(shift),
      }),
    );
    const kinds = graph.integers(windowKinds(grid), `window_kinds_${grid}`);
    return graph.node(`window_mask_${grid}`, 'Gather', [masks, kinds], { axis: 0 });
  });
}

/** Groups of 2 x 2 tokens become one of half the grid and twice the channels. */
function patchMerging(layers: Layers, x: ValueName, name: string, at: Grid): ValueName {
  const order = mergeOrder(at.grid);
  x = gatherTokens(layers, x, name, at.channels, order, `merge_order_${at.grid}`);
  x = layers.reshape(x, `${name}.groups`, [-1, 4 * at.channels]);
  return layers.linear(layers.layerNorm(x, `${name}.norm`), `${name}.reduction`, false);
}
