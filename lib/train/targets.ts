import { invalidArgument, isIndex } from '../check.js';
import { CountenanceError } from '../errors.js';
import { asFloats } from '../realm.js';

/** Class indices (B), or probabilities as (B, K) values row by row or as B rows. */
export type Labels =
  | readonly number[]
  | Int32Array
  | Uint32Array
  | Uint16Array
  | Uint8Array
  | Float32Array
  | readonly (readonly number[])[];

/**
 * Labels of a batch as (B, K) probabilities.
 *
 * @throws CountenanceError ERR_LABEL_RANGE naming the sample, ERR_SHAPE_MISMATCH, ERR_INVALID_ARGUMENT
 */
export function toTargets(labels: Labels, size: number, classes: number): Float32Array {
  if (!Array.isArray(labels) && !ArrayBuffer.isView(labels)) {
    throw invalidArgument('class indices or rows of probabilities', 'labels', labels);
  }
  const shares = asFloats(labels);
  if (shares) return softTargets(shares, size, classes);
  if (labels.length !== size) {
    throw new CountenanceError(
      'ERR_SHAPE_MISMATCH',
      `Expected ${size} labels, one per image, but received ${labels.length}`,
    );
  }
  if (Array.isArray(labels[0])) {
    const rows = labels as readonly (readonly number[])[];
    const row = rows.findIndex((values) => values.length !== classes);
    if (row < 0) return softTargets(Float32Array.from(rows.flat()), size, classes);
    throw new CountenanceError(
      'ERR_SHAPE_MISMATCH',
      `Expected ${classes} probabilities for sample ${row} but received ${rows[row]!.length}`,
    );
  }
  return oneHot(labels as ArrayLike<number>, classes);
}

/** One-hot rows. */
export function oneHot(labels: ArrayLike<number>, classes: number): Float32Array {
  const targets = new Float32Array(labels.length * classes);
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (!isIndex(label, classes)) {
      throw new CountenanceError(
        'ERR_LABEL_RANGE',
        `Expected a class from 0 to ${classes - 1} for sample ${i} but received ${String(label)}`,
      );
    }
    targets[i * classes + label] = 1;
  }
  return targets;
}

/** The addon checks that each row is a distribution. */
function softTargets(values: Float32Array, size: number, classes: number): Float32Array {
  if (values.length === size * classes) return values;
  throw new CountenanceError(
    'ERR_SHAPE_MISMATCH',
    `Expected labels of ${size} x ${classes} probabilities but received ${values.length} values ` +
      '(class indices come as an Int32Array or a plain array)',
  );
}
