import { CountenanceError } from '../errors.js';
import { embeddingWidth } from '../model/config.js';
import { validateTextEmbeddings, type TextEmbeddings } from '../text/embeddings.js';

/** Guard of the norms, as in torch's cosine_similarity. */
const epsilon = 1e-8;

/** Text embeddings that may leave out where they come from. */
export type GivenEmbeddings = Pick<TextEmbeddings, 'shape' | 'data'> & Partial<TextEmbeddings>;

/**
 * The classifier of the method apart from its network: cosines of a representation with text embeddings
 * of any classes.
 */
export class TextHead {
  /** Class names in the order of the logits. */
  readonly classes: readonly string[];
  /** (K, D), rows of length 1. */
  private readonly rows: Float32Array;

  /**
   * @param text raw text embeddings with class names, K x 512
   * @param logitScale what cosines are multiplied by
   * @throws CountenanceError ERR_TEXT_EMBEDDINGS, ERR_SHAPE_MISMATCH, ERR_NOT_FINITE, ERR_ZERO_NORM
   */
  constructor(
    text: GivenEmbeddings,
    private readonly logitScale: number,
  ) {
    const { classes, shape, data } = validateTextEmbeddings(
      { source: 'given as numbers', ...text },
      'the new classes',
    );
    if (!classes) {
      throw new CountenanceError(
        'ERR_TEXT_EMBEDDINGS',
        'Text embeddings of new classes need class names, but have none: add `classes`',
      );
    }
    if (shape[1] !== embeddingWidth) {
      throw new CountenanceError(
        'ERR_TEXT_EMBEDDINGS',
        `Expected text embeddings of dimension ${embeddingWidth}, the model's, ` +
          `but received ${shape[1]}`,
      );
    }
    this.classes = [...classes];
    this.rows = Float32Array.from(data);
    for (let start = 0; start < data.length; start += embeddingWidth) {
      const row = this.rows.subarray(start, start + embeddingWidth);
      const length = norm(row);
      row.forEach((value, i) => (row[i] = value / length));
    }
  }

  /**
   * logits (K) = s hat(f_e) hat(T)^T of one representation (D); with that of the mirror image, the mean
   * of both.
   */
  logits(expression: Float32Array, mirrored?: Float32Array): Float32Array {
    const logits = this.#of(expression);
    if (!mirrored) return logits;
    const others = this.#of(mirrored);
    return logits.map((logit, k) => (logit + others[k]!) / 2);
  }

  #of(expression: Float32Array): Float32Array {
    const factor = this.logitScale / Math.max(norm(expression), epsilon);
    return Float32Array.from(this.classes, (_, k) => {
      let dot = 0;
      const start = k * embeddingWidth;
      for (let i = 0; i < embeddingWidth; i++) dot += expression[i]! * this.rows[start + i]!;
      return factor * dot;
    });
  }
}

function norm(row: Float32Array): number {
  let squares = 0;
  for (let i = 0; i < row.length; i++) squares += row[i]! * row[i]!;
  return Math.sqrt(squares);
}
