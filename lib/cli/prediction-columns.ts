import type { Prediction, Ranked } from '../predict/prediction.js';

/** Lays out the output of `countenance predict`: one prediction per line, in columns. */
export class PredictionColumns {
  readonly #fileWidth: number;
  readonly #labelWidth: number;

  constructor(files: readonly string[], classes: readonly string[]) {
    this.#fileWidth = Math.min(60, Math.max(...files.map((file) => file.length)));
    this.#labelWidth = Math.max(...classes.map((name) => name.length));
  }

  /** The file's column, with the text that follows it. */
  line(file: string, rest: string): string {
    return `${file.padEnd(this.#fileWidth)}  ${rest}`;
  }

  /** `face.jpg  happiness  0.9731  intensity 0.41`; with `top`, all of its classes and scores. */
  prediction(
    file: string,
    { label, score, top = [{ label, score }], intensity }: Prediction & Partial<Ranked>,
  ): string {
    const classes = top.map(
      (best) => `${best.label.padEnd(this.#labelWidth)}  ${best.score.toFixed(4)}`,
    );
    return this.line(file, `${classes.join('  ')}  intensity ${intensity.toFixed(2)}`);
  }
}
