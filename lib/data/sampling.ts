import { checkNumber, invalidArgument } from '../check.js';
import { Random, randomDomain } from '../philox.js';
import { matchClasses } from './classes.js';
import { countClasses, type Dataset } from './dataset.js';
import { permutation } from './permutation.js';

/** How often images are drawn in an epoch. */
export const samplings = ['shuffle', 'balanced'] as const;
/**
 * - `shuffle`: each image once
 * - `balanced`: each class equally often, so that images of rare classes come several times
 */
export type SamplingName = (typeof samplings)[number];

/** By class: how many times as often its images are drawn as they would be otherwise, above 0. */
export type ClassWeights = Readonly<Record<string, number>>;

/** The images of one epoch in the order they are drawn. */
export interface EpochOrder {
  /** Data set index of each draw. */
  readonly indices: Uint32Array;
  /** What random changes of each draw depend on: another number each time an image comes again. */
  readonly draws: Uint32Array;
}

/**
 * Share of each class among the draws: n_c w_c (`shuffle`) or w_c (`balanced`), scaled to sum 1. n_c is
 * the number of images, w_c the weight; a class without images has none.
 */
export function classShares(
  dataset: Dataset,
  sampling: SamplingName,
  weights: readonly number[],
): number[] {
  const raw = countClasses(dataset).map((count, label) => {
    if (count === 0) return 0;
    return (sampling === 'balanced' ? 1 : count) * weights[label]!;
  });
  const sum = raw.reduce((total, share) => total + share, 0);
  return raw.map((share) => share / sum);
}

/**
 * The draws of an epoch in which classes have these shares: as many as the data set has images. Class c
 * gets N share_c of them, rounded up or down at random so that this is its mean; each of its images
 * comes equally often, give or take one time. A function of (seed, epoch) alone.
 */
export async function drawEpoch(
  dataset: Dataset,
  shares: readonly number[],
  seed: number,
  epoch: number,
): Promise<EpochOrder> {
  const { size } = dataset;
  const members: number[][] = shares.map(() => []);
  for (let i = 0; i < size; i++) members[dataset.label(i)]!.push(i);
  const counts = roundCounts(
    shares,
    size,
    new Random(seed, randomDomain.sampling, epoch).uniform(),
  );
  const indices = new Uint32Array(size);
  const draws = new Uint32Array(size);
  const places = await permutation(size, seed, randomDomain.shuffle, epoch);
  let drawn = 0;
  for (const [label, images] of members.entries()) {
    const order = await permutation(images.length, seed, randomDomain.sampling, epoch, label + 1);
    for (let k = 0; k < counts[label]!; k++) {
      const index = images[order[k % images.length]!]!;
      const place = places[drawn++]!;
      indices[place] = index;
      draws[place] = index + size * Math.floor(k / images.length);
    }
  }
  return { indices, draws };
}

/** Whole numbers of sum `total` with means `total * shares`, by systematic sampling with offset u. */
function roundCounts(shares: readonly number[], total: number, u: number): number[] {
  const last = shares.findLastIndex((share) => share > 0);
  let cumulative = 0;
  let before = 0;
  return shares.map((share, i) => {
    cumulative += share * total;
    const until = i >= last ? total : Math.min(Math.floor(cumulative + u), total);
    const count = until - before;
    before = until;
    return count;
  });
}

/**
 * Weights in the order of a model's classes; those that are not named are 1.
 *
 * @throws CountenanceError ERR_INVALID_ARGUMENT for an unknown class or a weight that is not above 0
 */
export function weightsOf(weights: ClassWeights, classes: readonly string[]): number[] {
  const result = classes.map(() => 1);
  const names = Object.keys(weights);
  for (const [i, label] of matchClasses(names, classes).entries()) {
    const value = weights[names[i]!]!;
    if (label < 0) {
      const known = `classes of the model (${classes.join(', ')})`;
      throw invalidArgument(known, 'classWeights', names[i]);
    }
    result[label] = checkNumber(value, `classWeights.${names[i]}`, 'above 0');
  }
  return result;
}
