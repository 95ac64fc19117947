import { figureNames, figures, type Figures, type Metrics } from '../metrics.js';

/** Columns of text: the first and those named in `left` are left-aligned, the others right-aligned. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  left: readonly number[] = [0],
): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all
    .map((row) =>
      row
        .map((cell, column) =>
          left.includes(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A fraction with four decimals. */
export function figure(value: number): string {
  return value.toFixed(4);
}

/** The figures of an evaluation, one row per class. */
export function classTable({ classes, perClass }: Metrics): string {
  const rows = classes.map((name) => {
    const { support, recall, precision, f1 } = perClass[name]!;
    return [name, String(support), figure(recall), figure(precision), figure(f1)];
  });
  return table(['class', 'images', 'recall', 'precision', 'F1'], rows);
}

/** The confusion matrix, one row per true class. */
export function confusionTable({ classes, confusion }: Metrics): string {
  const rows = classes.map((name, row) => [name, ...confusion[row]!.map(String)]);
  return table(['true \\ predicted', ...classes], rows);
}

/** `accuracy 0.8082, mean class accuracy 0.5801`: the figures that are given. */
export function figuresLine(metrics: Partial<Figures>): string {
  return figureNames
    .filter((name) => metrics[name] !== undefined)
    .map((name) => `${figures[name].label} ${figure(metrics[name]!)}`)
    .join(', ');
}
