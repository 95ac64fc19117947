import { lossTermNames, perTerm, type LossTermName } from '../core-options.js';
import type { NativeStepResult } from '../native.js';
import type { Losses } from './events.js';

/** Sums over the images of an epoch so far; kept in checkpoints. */
export interface EpochTotals extends Record<LossTermName, number> {
  images: number;
  loss: number;
  correct: number;
}

/** The totals of zero images. */
export function noTotals(): EpochTotals {
  return { images: 0, loss: 0, ...perTerm(() => 0), correct: 0 };
}

/** Adds a step of `images` images. */
export function addStep(totals: EpochTotals, result: NativeStepResult, images: number): void {
  totals.images += images;
  totals.loss += result.loss * images;
  for (const name of lossTermNames) totals[name] += result.terms[name] * images;
  totals.correct += result.correct;
}

/** Means over the images. */
export function meansOf(totals: EpochTotals): Losses {
  const count = Math.max(totals.images, 1);
  return {
    loss: totals.loss / count,
    ...perTerm((name) => totals[name] / count),
    accuracy: totals.correct / count,
  };
}

/** The figures of one step of `images` images. */
export function lossesOf(result: NativeStepResult, images: number): Losses {
  const { loss, terms, correct } = result;
  return { loss, ...terms, accuracy: correct / images };
}

/** Images per second, smoothed over about ten steps. */
export class Throughput {
  private rate = 0;
  private last = performance.now();

  /** Starts the next interval without counting the time since the last one. */
  restart(): void {
    this.last = performance.now();
  }

  /** Counts images of one step and returns the smoothed rate. */
  add(images: number): number {
    const now = performance.now();
    const rate = (1000 * images) / Math.max(now - this.last, 1e-3);
    this.last = now;
    this.rate = this.rate === 0 ? rate : 0.9 * this.rate + 0.1 * rate;
    return this.rate;
  }
}
