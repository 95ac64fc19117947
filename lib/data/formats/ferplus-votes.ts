/**
 * How ten annotators' votes become a target, as E. Barsoum, C. Zhang, C. Canton Ferrer, Z. Zhang,
 * "Training deep networks for facial expression recognition with crowd-sourced label distribution"
 * (ICMI 2016, arXiv 1608.01041) and its released script do it. A face's votes are ten counts: the
 * eight classes, "unknown" and "no face" (NF).
 */
import type { TargetKind } from '../dataset.js';

/** Label modes of the paper (its multi-label mode needs another loss and is not offered). */
export const ferplusModes = ['majority', 'probability', 'crossentropy'] as const;
export type FerplusMode = (typeof ferplusModes)[number];

/**
 * `probability` trains on one class drawn from the distribution every epoch (the paper's
 * "probabilistic label drawing"), `crossentropy` on the distribution itself.
 */
export const targetKindOf: Readonly<Record<FerplusMode, TargetKind>> = {
  majority: 'label',
  probability: 'drawn',
  crossentropy: 'distribution',
};

const classCount = 8;

/** Most classes a distribution may have; an image with more is too ambiguous. */
const classLimit = 3;

/**
 * The target of an image, or undefined if it has none and is dropped.
 *
 * All modes first drop single votes as outliers. Then
 * - `majority`: the class with more than half of the remaining votes; none, unknown or NF: dropped
 * - `probability`, `crossentropy`: classes are taken by descending votes (ties together) until they have
 *   three quarters of the remaining votes or there are three; unknown or NF ends this and is not taken
 *   after a class. The image is dropped if more than three were taken, if they have no more than half of
 *   the votes, or if unknown or NF leads.
 *
 * @param votes ten counts; not changed
 * @returns eight probabilities
 */
export function targetFromVotes(
  votes: readonly number[],
  mode: FerplusMode,
): Float32Array | undefined {
  const counted = votes.map((vote) => (vote <= 1 ? 0 : vote));
  const total = counted.reduce((sum, vote) => sum + vote, 0);
  if (total === 0) return undefined;
  const taken = mode === 'majority' ? takeMajority(counted, total) : takeLeading(counted, total);
  const weights = taken?.slice(0, classCount);
  const sum = weights?.reduce((partial, weight) => partial + weight, 0) ?? 0;
  if (!weights || sum === 0 || isLedByNoClass(taken!)) return undefined;
  return Float32Array.from(weights, (weight) => weight / sum);
}

function takeMajority(votes: readonly number[], total: number): number[] | undefined {
  const most = Math.max(...votes);
  if (most <= total / 2) return undefined;
  return votes.map((vote) => (vote === most ? vote : 0));
}

function takeLeading(votes: readonly number[], total: number): number[] | undefined {
  const rest = [...votes];
  const taken = new Array<number>(votes.length).fill(0);
  let sum = 0;
  let count = 0;
  let ended = false;
  while (sum < 0.75 * total && count < classLimit && !ended) {
    const most = Math.max(...rest);
    for (let i = 0; i < rest.length && !ended; i++) {
      if (rest[i] !== most) continue;
      rest[i] = 0;
      ended = i >= classCount;
      if (ended && sum > 0) break;
      taken[i] = most;
      sum += most;
      count += 1;
    }
  }
  return sum <= total / 2 || count > classLimit ? undefined : taken;
}

/** Whether unknown or NF has more votes than every class: of equal counts the first wins. */
function isLedByNoClass(votes: readonly number[]): boolean {
  return votes.indexOf(Math.max(...votes)) >= classCount;
}
