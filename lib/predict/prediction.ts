import { checkInteger } from '../check.js';
import { CountenanceError } from '../errors.js';

/** The prediction for one image. */
export interface Prediction {
  /** The most probable class. */
  readonly label: string;
  /** Its probability, 0..1. */
  readonly score: number;
  /** Probability of each class by name, in the order of the model's classes; they sum to 1. */
  readonly scores: Readonly<Record<string, number>>;
  /**
   * How far the face is from its own neutral face, 0..1: (1 - cos(f_e, f_n)) / 2, a quarter of
   * |f_e - f_n|^2 if both have length 1. f_e are the features of the image, f_n those that the model
   * predicts for the same face when neutral. 0 if they have the same direction, 0.5 at a right angle, 1 if
   * they are opposite. Compare it between images of one model; it is not a probability.
   */
  readonly intensity: number;
  /** |f_e - f_n|, at least 0, in the units of the model's features. */
  readonly neutralDistance: number;
  /** cos(f_e, f_n), -1..1; 1 if the face has the direction of its own neutral. */
  readonly neutralSimilarity: number;
}

/** A class and its probability. */
export interface ClassScore {
  readonly label: string;
  /** 0..1. */
  readonly score: number;
}

/** Added to a {@link Prediction} by `topK`. */
export interface Ranked {
  /** The `topK` most probable classes, best first; ties in the order of the classes. */
  readonly top: readonly ClassScore[];
}

/** The two feature vectors of one image, 512 values each. */
export interface Embedding {
  /** f_e, the expression features: their cosines with the text embeddings classify the image. */
  readonly expression: Float32Array;
  /** f_n, the neutral features: those of the same face when neutral. */
  readonly neutral: Float32Array;
}

/** Lower bound of the norms, as in torch's cosine_similarity. */
const epsilon = 1e-8;

/** @throws CountenanceError ERR_INVALID_ARGUMENT unless it is an integer from 1 to the number of classes */
export function checkTopK(topK: number | undefined, classes: number): number | undefined {
  return topK === undefined ? undefined : checkInteger(topK, 'topK', 1, classes);
}

/**
 * A prediction from the logits (K) and the features (D) of one image.
 *
 * @param topK 1..K: also return this many classes as `top`
 */
export function toPrediction(
  logits: Float32Array,
  { expression, neutral }: Embedding,
  classes: readonly string[],
  topK?: number,
): Prediction & Partial<Ranked> {
  const probabilities = softmax(logits);
  const best = probabilities.indexOf(Math.max(...probabilities));
  const { distance, similarity } = compare(expression, neutral);
  const score = probabilities[best];
  if (score === undefined || !Number.isFinite(distance)) {
    throw new CountenanceError(
      'ERR_NOT_FINITE',
      'The model computed NaN or infinity: its weights are unusable',
    );
  }
  return {
    label: classes[best]!,
    score,
    scores: Object.fromEntries(classes.map((name, i) => [name, probabilities[i]!])),
    intensity: (1 - similarity) / 2,
    neutralDistance: distance,
    neutralSimilarity: similarity,
    ...(topK !== undefined && { top: rank(classes, probabilities).slice(0, topK) }),
  };
}

/** The classes by falling probability; the sort keeps the order of equals. */
function rank(classes: readonly string[], probabilities: readonly number[]): ClassScore[] {
  return classes
    .map((label, i) => ({ label, score: probabilities[i]! }))
    .sort((a, b) => b.score - a.score);
}

function softmax(logits: Float32Array): number[] {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** |a - b| and cos(a, b), in double precision. */
function compare(
  a: Float32Array,
  b: Float32Array,
): { readonly distance: number; readonly similarity: number } {
  let aa = 0;
  let bb = 0;
  let ab = 0;
  let dd = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = a[i]! - b[i]!;
    aa += a[i]! * a[i]!;
    bb += b[i]! * b[i]!;
    ab += a[i]! * b[i]!;
    dd += difference * difference;
  }
  const cosine = ab / Math.max(Math.sqrt(aa) * Math.sqrt(bb), epsilon);
  return { distance: Math.sqrt(dd), similarity: Math.min(1, Math.max(-1, cosine)) };
}
