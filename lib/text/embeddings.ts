import { describeValue } from '../check.js';
import { CountenanceError } from '../errors.js';
import { asFloats } from '../realm.js';

/**
 * Frozen text embeddings, the classifier of the method: one row per class, the text encoder's projected
 * output, not normalised.
 */
export interface TextEmbeddings {
  /** `[K, D]`: classes, dimension (512 for CLIP ViT-B/16). */
  readonly shape: readonly [number, number];
  /** K * D values, row by row. */
  readonly data: Float32Array;
  /** Class names in row order, if the source has them. */
  readonly classes?: readonly string[];
  /** exp(logit_scale) of the vision-language model (100 for CLIP), if the source has it. */
  readonly logitScale?: number;
  /** The prompt of each row, or the prompts that the row is the mean of. */
  readonly prompts?: readonly (string | readonly string[])[];
  /** The text encoder that made them: its directory or its name on the hub. */
  readonly model?: string;
  /** When they were made, ISO 8601. */
  readonly created?: string;
  /** A description of their origin: a model's name, or that they contain no knowledge of language. */
  readonly source: string;
}

/**
 * Checks embeddings: a [K, D] shape with K >= 2 that matches the data and the names, finite values, no zero
 * row. With `neutral`, that class must be among `classes`.
 *
 * @param name their name in messages, usually the file
 * @returns the embeddings
 * @throws CountenanceError ERR_SHAPE_MISMATCH, ERR_TEXT_EMBEDDINGS, ERR_NOT_FINITE, ERR_ZERO_NORM
 */
export function validateTextEmbeddings(
  embeddings: TextEmbeddings,
  name = 'textEmbeddings',
  neutral?: string,
): TextEmbeddings {
  const { shape, classes, prompts, logitScale } = embeddings;
  const data = asFloats(embeddings.data);
  if (!Array.isArray(shape) || !data) {
    throw new CountenanceError(
      'ERR_TEXT_EMBEDDINGS',
      `Expected { shape: [classes, dimension], data: Float32Array } for ${name} but received ` +
        `shape ${describeValue(shape)} and data ${describeValue(embeddings.data)}`,
    );
  }
  const [rows, dimension] = shape;
  if (shape.length !== 2 || !(rows >= 2) || !(dimension >= 1) || rows * dimension !== data.length) {
    throw new CountenanceError(
      'ERR_SHAPE_MISMATCH',
      `Text embeddings of ${name}: expected shape [classes >= 2, dimension] with as many values, ` +
        `but received shape [${shape.join(', ')}] with ${data.length} values`,
    );
  }
  const rowName = (row: number): string => (classes ? `'${classes[row]}'` : `row ${row}`);
  if (classes && classes.length !== rows) {
    throw new CountenanceError(
      'ERR_TEXT_EMBEDDINGS',
      `Text embeddings of ${name} have ${rows} rows but ${classes.length} class names`,
    );
  }
  if (classes && new Set(classes).size !== rows) {
    throw new CountenanceError(
      'ERR_TEXT_EMBEDDINGS',
      `Text embeddings of ${name} name a class twice: ${classes.join(', ')}`,
    );
  }
  if (prompts && prompts.length !== rows) {
    throw new CountenanceError(
      'ERR_TEXT_EMBEDDINGS',
      `Text embeddings of ${name} have ${rows} rows but ${prompts.length} prompts`,
    );
  }
  for (let row = 0; row < rows; row++) {
    let squares = 0;
    for (let i = row * dimension; i < (row + 1) * dimension; i++) squares += data[i]! * data[i]!;
    if (!Number.isFinite(squares)) {
      throw new CountenanceError(
        'ERR_NOT_FINITE',
        `Text embedding ${rowName(row)} of ${name} contains NaN or infinity`,
      );
    }
    if (squares === 0) {
      throw new CountenanceError(
        'ERR_ZERO_NORM',
        `Text embedding ${rowName(row)} of ${name} is zero`,
      );
    }
  }
  if (logitScale !== undefined && !(Number.isFinite(logitScale) && logitScale > 0)) {
    throw new CountenanceError(
      'ERR_TEXT_EMBEDDINGS',
      `Logit scale of ${name} must be positive and finite but is ${logitScale}`,
    );
  }
  if (neutral !== undefined && classes && !classes.includes(neutral)) {
    throw new CountenanceError(
      'ERR_TEXT_EMBEDDINGS',
      `Text embeddings of ${name} have no row for the neutral class '${neutral}': ` +
        `their classes are ${classes.join(', ')}`,
    );
  }
  return data === embeddings.data ? embeddings : { ...embeddings, data };
}

/**
 * The rows for `classes`, in that order. Embeddings without class names must have one row per class and are
 * assumed to be in that order already.
 *
 * @throws CountenanceError ERR_TEXT_EMBEDDINGS naming the classes without a row
 */
export function selectTextEmbeddings(
  embeddings: TextEmbeddings,
  classes: readonly string[],
): TextEmbeddings & { readonly classes: readonly string[] } {
  const [rows, dimension] = embeddings.shape;
  if (!embeddings.classes) {
    if (rows !== classes.length) {
      throw new CountenanceError(
        'ERR_TEXT_EMBEDDINGS',
        `Text embeddings have ${rows} rows without names, but there are ${classes.length} classes: ` +
          classes.join(', '),
      );
    }
    return { ...embeddings, classes };
  }
  // An accent can be written in two ways.
  const composed = embeddings.classes.map((name) => name.normalize('NFC'));
  const order = classes.map((name) => composed.indexOf(name.normalize('NFC')));
  const missing = classes.filter((_, i) => order[i] === -1);
  if (missing.length > 0) {
    throw new CountenanceError(
      'ERR_TEXT_EMBEDDINGS',
      `Text embeddings have no row for ${missing.join(', ')}: ` +
        `their classes are ${embeddings.classes.join(', ')}`,
    );
  }
  const data = new Float32Array(classes.length * dimension);
  order.forEach((row, i) => {
    data.set(embeddings.data.subarray(row * dimension, (row + 1) * dimension), i * dimension);
  });
  const { prompts } = embeddings;
  return {
    ...embeddings,
    shape: [classes.length, dimension],
    data,
    classes,
    ...(prompts && { prompts: order.map((row) => prompts[row]!) }),
  };
}
