/** A change of shape that preserves what a weight does, as far as possible. */
export interface Reshape {
  /** For reports: `bicubic`. */
  readonly how: string;
  readonly apply: (values: Float32Array) => Float32Array;
}

/** How a tensor of shape `from` becomes one of shape `to`, or undefined if there is no known way. */
export function findReshape(
  name: string,
  from: readonly number[],
  to: readonly number[],
): Reshape | undefined {
  if (name.endsWith('.relative_position_bias_table')) return biasTable(from, to);
  if (name.endsWith('.patch_embed.proj.weight')) return patchEmbedding(from, to);
  return undefined;
}

/**
 * Relative position biases ((2w - 1)^2, heads) of another window size w: each head's table is an image of
 * displacements, resized with PyTorch's bicubic filter, as in Microsoft's code for fine-tuning with another
 * window size (https://github.com/microsoft/Swin-Transformer).
 */
function biasTable(from: readonly number[], to: readonly number[]): Reshape | undefined {
  const [rows = 0, heads = 0] = from;
  const [source, target] = [Math.sqrt(rows), Math.sqrt(to[0] ?? 0)];
  const fits = from.length === 2 && to.length === 2 && heads === to[1];
  if (!fits || source < 1 || !Number.isInteger(source) || !Number.isInteger(target))
    return undefined;
  return {
    how: 'bicubic',
    apply: (values) => resizeBicubic(values, source, target, heads),
  };
}

/** Taps of one output: four neighbours and their weights. */
interface Taps {
  readonly positions: readonly number[];
  readonly weights: readonly number[];
}

/**
 * PyTorch's `interpolate(mode='bicubic', align_corners=False)` on (source^2, channels), separably for rows
 * and columns: output i is at (i + 0.5) source / target - 0.5, cubic convolution with a = -0.75 (Keys, IEEE
 * TASSP 29, 1981), neighbours outside are clamped to the edge.
 */
function resizeBicubic(
  values: Float32Array,
  source: number,
  target: number,
  channels: number,
): Float32Array {
  const taps = Array.from({ length: target }, (_, i) => cubicTaps(i, source, target));
  const result = new Float32Array(target * target * channels);
  for (let y = 0; y < target; y++) {
    for (let x = 0; x < target; x++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let j = 0; j < 4; j++) {
          const row = taps[y]!.positions[j]! * source;
          for (let i = 0; i < 4; i++) {
            const value = values[(row + taps[x]!.positions[i]!) * channels + c]!;
            sum += taps[y]!.weights[j]! * taps[x]!.weights[i]! * value;
          }
        }
        result[(y * target + x) * channels + c] = sum;
      }
    }
  }
  return result;
}

function cubicTaps(i: number, source: number, target: number): Taps {
  const a = -0.75;
  const center = ((i + 0.5) * source) / target - 0.5;
  const first = Math.floor(center) - 1;
  const near = (t: number): number => ((a + 2) * t - (a + 3)) * t * t + 1; // |t| <= 1
  const far = (t: number): number => ((a * t - 5 * a) * t + 8 * a) * t - 4 * a; // 1 < |t| < 2
  const t = center - Math.floor(center);
  const clamp = (position: number): number => Math.min(Math.max(position, 0), source - 1);
  return {
    positions: [0, 1, 2, 3].map((tap) => clamp(first + tap)),
    weights: [far(t + 1), near(t), near(1 - t), far(2 - t)],
  };
}

/**
 * A patch embedding (outputs, colours, p, p) for patches of another side q, if one divides the other. Its
 * output for a patch is that of the old one for the same patch resized to the old side:
 *
 *   q = p / k:  w'[i, j] = sum over 0 <= a, b < k of w[k i + a, k j + b]
 *   q = p k:    w'[i, j] = w[floor(i / k), floor(j / k)] / k^2
 *
 * This is the pseudo-inverse resize of FlexiViT (arXiv 2212.08013, section 3.4) for nearest-neighbour
 * enlargement and area reduction. The bias is unchanged.
 */
function patchEmbedding(from: readonly number[], to: readonly number[]): Reshape | undefined {
  const [outputs = 0, colours = 0, source = 0, sourceWidth = 0] = from;
  const target = to[2] ?? 0;
  const isSquare = source === sourceWidth && target === to[3];
  const sameChannels = outputs === to[0] && colours === to[1];
  const divides = source > 0 && target > 0 && (source % target === 0 || target % source === 0);
  if (from.length !== 4 || to.length !== 4 || !isSquare || !sameChannels || !divides) {
    return undefined;
  }
  return {
    how: source > target ? 'block sums' : 'repeated',
    apply: (values) => resizePatches(values, outputs * colours, source, target),
  };
}

function resizePatches(
  values: Float32Array,
  kernels: number,
  source: number,
  target: number,
): Float32Array {
  const result = new Float32Array(kernels * target * target);
  const fine = Math.max(source, target);
  const share = target > source ? (source / target) ** 2 : 1;
  for (let kernel = 0; kernel < kernels; kernel++) {
    const to = kernel * target * target;
    const from = kernel * source * source;
    for (let y = 0; y < fine; y++) {
      for (let x = 0; x < fine; x++) {
        const offset = (side: number): number =>
          Math.floor((y * side) / fine) * side + Math.floor((x * side) / fine);
        result[to + offset(target)]! += values[from + offset(source)]! * share;
      }
    }
  }
  return result;
}
