import { checkInteger, isIndex } from './check.js';
import { CountenanceError } from './errors.js';

/** The metrics of one class. */
export interface ClassMetrics {
  /** Images whose label is this class. */
  readonly support: number;
  /** Images predicted as this class. */
  readonly predicted: number;
  /** Fraction of the class's images that were recognised; 0 if it has none. */
  readonly recall: number;
  /** Fraction of the predictions of this class that were correct; 0 if there were none. */
  readonly precision: number;
  /** Harmonic mean of precision and recall, 2 TP / (support + predicted); 0 if both are 0. */
  readonly f1: number;
}

/** Figures over all classes, in 0..1 except kappa. */
export interface Figures {
  /** Fraction of the images that were classified correctly. */
  readonly accuracy: number;
  /**
   * Mean recall over the classes that have images (scikit-learn's `balanced_accuracy_score`): a class
   * without images has no recall to count.
   */
  readonly meanClassAccuracy: number;
  /**
   * Mean F1 over the classes that occur among labels or predictions (scikit-learn's
   * `f1_score(average='macro')`): a class that is predicted but never correctly counts as 0, a class that
   * does not occur is left out.
   */
  readonly macroF1: number;
  /**
   * Cohen's kappa (scikit-learn's `cohen_kappa_score`), -1..1: agreement beyond chance. 0 is chance level, such
   * as always predicting the most frequent class.
   */
  readonly kappa: number;
}

/** The result of an evaluation. */
export interface Metrics extends Figures {
  /** Number of images. */
  readonly count: number;
  /** By class name, in the order of the classes. */
  readonly perClass: Readonly<Record<string, ClassMetrics>>;
  /** `confusion[label][prediction]` counts images. */
  readonly confusion: readonly (readonly number[])[];
  readonly classes: readonly string[];
}

interface Figure {
  /** For people. */
  readonly label: string;
  /** In the tags of TensorBoard. */
  readonly tag: string;
  /** Type of the metric in a model card, as the hub knows it. */
  readonly hubType: string;
  of(right: number, count: number, classes: readonly ClassMetrics[]): number;
}

/** Name and definition of each figure; tables, reports, logs and model cards are derived from it. */
export const figures: { readonly [Name in keyof Figures]: Figure } = {
  accuracy: {
    label: 'accuracy',
    tag: 'accuracy',
    hubType: 'accuracy',
    of: (right, count) => ratio(right, count),
  },
  meanClassAccuracy: {
    label: 'mean class accuracy',
    tag: 'mean_class_accuracy',
    hubType: 'mean_class_accuracy',
    of(_right, _count, classes) {
      const present = classes.filter(({ support }) => support > 0);
      return ratio(sum(present.map(({ recall }) => recall)), present.length);
    },
  },
  macroF1: {
    label: 'macro F1',
    tag: 'macro_f1',
    hubType: 'f1',
    of(_right, _count, classes) {
      const occurring = classes.filter(({ support, predicted }) => support + predicted > 0);
      return ratio(sum(occurring.map(({ f1 }) => f1)), occurring.length);
    },
  },
  kappa: {
    label: "Cohen's kappa",
    tag: 'kappa',
    hubType: 'cohen_kappa',
    of(right, count, classes) {
      const byChance = sum(classes.map((c) => ratio(c.support * c.predicted, count)));
      return ratio(right - byChance, count - byChance);
    },
  },
};

export const figureNames = Object.keys(figures) as (keyof Figures)[];

/** An object with a value for each figure. */
export function perFigure<T>(value: (name: keyof Figures) => T): Record<keyof Figures, T> {
  const entries = figureNames.map((name) => [name, value(name)]);
  return Object.fromEntries(entries) as Record<keyof Figures, T>;
}

/**
 * Counts predictions and computes the usual metrics from the confusion matrix. Without images all metrics
 * are 0.
 *
 * @example
 * const confusion = new ConfusionMatrix(['happiness', 'neutral']);
 * confusion.add(0, 0);
 * confusion.add(1, 0);
 * confusion.metrics().accuracy; // 0.5
 */
export class ConfusionMatrix {
  private readonly counts: Float64Array;

  constructor(readonly classes: readonly string[]) {
    checkInteger(classes.length, 'the number of classes', 1);
    this.counts = new Float64Array(classes.length ** 2);
  }

  /**
   * Counts one image.
   *
   * @throws CountenanceError ERR_LABEL_RANGE
   */
  add(label: number, prediction: number): void {
    const size = this.classes.length;
    for (const [what, value] of [['Label', label] as const, ['Prediction', prediction] as const]) {
      if (!isIndex(value, size)) {
        throw new CountenanceError('ERR_LABEL_RANGE', `${what} ${value} is not in 0..${size - 1}`);
      }
    }
    this.counts[label * size + prediction]! += 1;
  }

  /** Counts many images. */
  addAll(labels: ArrayLike<number>, predictions: ArrayLike<number>): void {
    if (labels.length !== predictions.length) {
      throw new CountenanceError(
        'ERR_SHAPE_MISMATCH',
        `${labels.length} labels but ${predictions.length} predictions`,
      );
    }
    for (let i = 0; i < labels.length; i++) this.add(labels[i]!, predictions[i]!);
  }

  /** Adds the counts of another matrix of the same classes. */
  merge(other: ConfusionMatrix): void {
    if (other.classes.join('\n') !== this.classes.join('\n')) {
      throw new CountenanceError(
        'ERR_SHAPE_MISMATCH',
        `Cannot merge confusion matrices of ${this.classes.join(', ')} and ${other.classes.join(', ')}`,
      );
    }
    other.counts.forEach((count, i) => (this.counts[i]! += count));
  }

  /** All metrics of what has been counted so far. */
  metrics(): Metrics {
    const size = this.classes.length;
    const confusion = this.classes.map((_, row) =>
      Array.from(this.counts.subarray(row * size, (row + 1) * size)),
    );
    const perClass = this.classes.map((_, c): ClassMetrics => {
      const right = confusion[c]![c]!;
      const support = sum(confusion[c]!);
      const predicted = sum(confusion.map((row) => row[c]!));
      return {
        support,
        predicted,
        recall: ratio(right, support),
        precision: ratio(right, predicted),
        f1: ratio(2 * right, support + predicted),
      };
    });
    const count = sum(perClass.map(({ support }) => support));
    const right = sum(confusion.map((row, c) => row[c]!));
    return {
      count,
      ...perFigure((name) => figures[name].of(right, count, perClass)),
      perClass: Object.fromEntries(this.classes.map((name, c) => [name, perClass[c]!])),
      confusion,
      classes: this.classes,
    };
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
