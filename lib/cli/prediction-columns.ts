/** Lays out what `countenance predict` prints: a line a prediction, in columns. */
export class PredictionColumns {
  readonly #fileWidth: number;
  readonly #labelWidth: number;

  constructor(files: readonly string[], classes: readonly string[]) {
    this.#fileWidth = Math.min(60, Math.max(...files.map((file) => file.length)));
    this.#labelWidth = Math.max(...classes.map((name) => name.length));
  }

  /** The column of the file, with what stands behind it. */
  line(file: string, rest: string): string {
    return `${file.padEnd(this.#fileWidth)}  ${rest}`;
  }

  /** `face.jpg  happiness  0.9731  intensity 0.41`. */
  prediction(
    file: string,
    { label, score, intensity }: { label: string; score: number; intensity: number },
  ): string {
    const figures = `${score.toFixed(4)}  intensity ${intensity.toFixed(2)}`;
    return this.line(file, `${label.padEnd(this.#labelWidth)}  ${figures}`);
  }
}
