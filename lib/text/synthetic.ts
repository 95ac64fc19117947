import { Random, randomDomain } from '../philox.js';
import { checkDistinct, checkInteger, invalidArgument } from '../check.js';
import type { TextEmbeddings } from './embeddings.js';

/**
 * Stand-in text embeddings for demos, tests and training without a language model: random orthonormal rows,
 * equal for equal arguments on every machine. They separate the classes but know nothing about the meaning
 * of the class names, and their `source` says so.
 *
 * Seeded normal random numbers, made orthonormal by the modified Gram-Schmidt process in double precision.
 *
 * @param classes at least two names; row order
 * @param dimension D, at least the number of classes (as orthonormal rows require); 512 for CLIP
 * @param seed an integer
 * @throws CountenanceError ERR_INVALID_ARGUMENT
 * @example
 * const embeddings = syntheticTextEmbeddings(['happiness', 'neutral'], 512, 0);
 * embeddings.shape; // [2, 512]
 */
export function syntheticTextEmbeddings(
  classes: readonly string[],
  dimension = 512,
  seed = 0,
): TextEmbeddings & { readonly classes: readonly string[] } {
  checkInteger(classes.length, 'the number of classes', 2);
  checkInteger(dimension, 'dimension', 1, 1 << 20);
  checkInteger(seed, 'seed', 0);
  checkDistinct(classes, 'classes');
  if (dimension < classes.length) {
    const least = `at least ${classes.length}, the number of classes,`;
    throw invalidArgument(least, 'dimension', dimension);
  }
  const rows = classes.map((_, row) => normalRow(seed, row, dimension));
  rows.forEach((row, i) => {
    for (const earlier of rows.slice(0, i)) subtractProjection(row, earlier);
    normalise(row);
  });
  const data = new Float32Array(classes.length * dimension);
  rows.forEach((row, i) => data.set(row, i * dimension));
  return {
    shape: [classes.length, dimension],
    data,
    classes: [...classes],
    // Orthonormal rows are as far apart as possible: CLIP's 100, meant for nearly parallel rows, saturates
    // the softmax. 30 trains better.
    logitScale: 30,
    source:
      `synthetic (seed ${seed}): random orthonormal vectors that hold no knowledge of language; ` +
      'for demos, tests and training without a text encoder',
  };
}

function normalRow(seed: number, row: number, dimension: number): Float64Array {
  const random = new Random(seed, randomDomain.textEmbeddings, row, dimension);
  return Float64Array.from({ length: dimension }, () => random.normal());
}

/** row -= (row . unit) unit */
function subtractProjection(row: Float64Array, unit: Float64Array): void {
  const projection = dot(row, unit);
  for (let i = 0; i < row.length; i++) row[i]! -= projection * unit[i]!;
}

function normalise(row: Float64Array): void {
  const norm = Math.sqrt(dot(row, row));
  for (let i = 0; i < row.length; i++) row[i]! /= norm;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
