import { spreadOf } from '../statistics.js';
import type { Precision } from '../scenarios.js';

// Training runs of the part `train`, and the comparison of their loss curves.

/** One training run: everything but these settings is the same in all runs. */
export interface CurveSettings {
  readonly device: 'cpu' | 'cuda';
  readonly precision: Precision;
  /** For weights, order of images and augmentation. */
  readonly seed: number;
}

export interface Curve extends CurveSettings {
  /** Loss of each step. */
  readonly losses: readonly number[];
  readonly seconds: number;
  /** Why it ended early. */
  readonly error?: string;
}

export const steps = 200;
/** Window of the moving average in steps. */
export const smoothing = 20;

/** Seeds on the CPU; a GPU trains with the first of them. */
export const seeds = [0, 1, 2, 3] as const;

/** The runs of the part, in this order. */
export const curveSettings: readonly CurveSettings[] = [
  { device: 'cuda', precision: 'fp32', seed: seeds[0] },
  { device: 'cuda', precision: 'bf16', seed: seeds[0] },
  ...seeds.map((seed) => ({ device: 'cpu' as const, precision: 'fp32' as const, seed })),
];

/** The moving average over `smoothing` steps. */
export function smooth(losses: readonly number[]): number[] {
  const means: number[] = [];
  for (let end = smoothing; end <= losses.length; end++) {
    const window = losses.slice(end - smoothing, end);
    means.push(window.reduce((sum, loss) => sum + loss, 0) / smoothing);
  }
  return means;
}

/** Mean distance between two smoothed curves as a fraction of the second one's mean. */
export function distance(a: readonly number[], b: readonly number[]): number {
  const [left, right] = [smooth(a), smooth(b)];
  const length = Math.min(left.length, right.length);
  let difference = 0;
  let size = 0;
  for (let i = 0; i < length; i++) {
    difference += Math.abs(left[i]! - right[i]!);
    size += Math.abs(right[i]!);
  }
  return difference / size;
}

export interface Verdict {
  /** The median distance between two CPU runs that differ only in their seed. */
  readonly noise: number;
  /** Distance of each GPU run from the CPU's with the same seed. */
  readonly distances: Readonly<Record<Precision, number>>;
  readonly withinNoise: boolean;
}

/** How the verdict is reached, for the report. */
export const criterion =
  `the mean distance between the losses, averaged over ${smoothing} steps, of the run on the GPU and of ` +
  'the run on the CPU with the same seed is at most the median of that distance between two runs on ' +
  'the CPU with different seeds';

/**
 * Compares complete curves.
 *
 * @throws RangeError if one is missing
 */
export function judge(curves: readonly Curve[]): Verdict {
  const losses = ({ device, precision, seed }: CurveSettings): readonly number[] => {
    const found = curves.find(
      (curve) => curve.device === device && curve.precision === precision && curve.seed === seed,
    );
    if (!found || found.losses.length < steps) {
      const what = `${device} ${precision}, seed ${seed}`;
      throw new RangeError(`no complete run of ${what}${found?.error ? `: ${found.error}` : ''}`);
    }
    return found.losses;
  };
  const onCpu = seeds.map((seed) => losses({ device: 'cpu', precision: 'fp32', seed }));
  const pairs = onCpu.flatMap((a, i) => onCpu.slice(i + 1).map((b) => distance(a, b)));
  const noise = spreadOf(pairs).median;
  const from = (precision: Precision) =>
    distance(losses({ device: 'cuda', precision, seed: seeds[0] }), onCpu[0]!);
  const distances = { fp32: from('fp32'), bf16: from('bf16') };
  // A NaN is not within any limit.
  const withinNoise = distances.fp32 <= noise && distances.bf16 <= noise;
  return { noise, distances, withinNoise };
}
