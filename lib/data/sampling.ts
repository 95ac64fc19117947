import { checkNumber, invalidArgument } from '../check.js';
import { Random, randomDomain } from '../philox.js';
import { matchClasses } from './classes.js';
import { countClasses, type Dataset } from './dataset.js';
import { permutation } from './permutation.js';

/** How the images of an epoch are sampled. */
export const samplings = ['shuffle', 'balanced'] as const;
/**
 * - `shuffle`: each image once
 * - `balanced`: each class equally often, so that images of rare classes occur several times
 */
export type SamplingName = (typeof samplings)[number];

/** By class: factor on how often its images are sampled, above 0. */
export type ClassWeights = Readonly<Record<string, number>>;

/** The samples of one epoch, in order. */
export interface EpochOrder {
  /** Data set index of each sample. */
  readonly indices: Uint32Array;
  /** What the random augmentation of each sample depends on: another number each time an image recurs. */
  readonly draws: Uint32Array;
}

/**
 * Share of each class among the samples of an epoch: n_c w_c (`shuffle`) or w_c (`balanced`), scaled to sum
 * 1. n_c is the number of images, w_c the weight; the share of a class without images is 0.
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
 * The samples of an epoch in which classes have these shares: as many as the data set has images (N). Class
 * c gets N share_c of them, rounded up or down at random so that this is the mean; each of its images
 * occurs equally often, give or take one. Depends only on (seed, epoch).
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
  const positions = await permutation(size, seed, randomDomain.shuffle, epoch);
  let taken = 0;
  for (const [label, images] of members.entries()) {
    const order = await permutation(images.length, seed, randomDomain.sampling, epoch, label + 1);
    for (let k = 0; k < counts[label]!; k++) {
      const index = images[order[k % images.length]!]!;
      const position = positions[taken++]!;
      indices[position] = index;
      draws[position] = index + size * Math.floor(k / images.length);
    }
  }
  return { indices, draws };
}

/** Integers with sum `total` and means `total * shares`, by systematic sampling with offset u. */
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
 * Weights in the order of a model's classes; classes that are not named get 1.
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
