import type { LossTerms } from '../description.js';
import type { Metrics } from '../metrics.js';

/** The losses and the accuracy of a step, or their means over an epoch. */
export interface Losses extends LossTerms {
  /** The sum of the terms times their weights: what training minimises. */
  readonly loss: number;
  /** Fraction of the (augmented) training images classified correctly, 0..1. */
  readonly accuracy: number;
}

/** A data set of a run. */
export interface DatasetSummary {
  readonly name: string;
  readonly size: number;
  /** Images of each class, by name. */
  readonly classCounts: Readonly<Record<string, number>>;
  /** Notes from opening it, such as images left out. */
  readonly notes: readonly string[];
}

/** The epoch whose weights did best on the validation set. */
export interface BestEpoch {
  /** Counted from 1. */
  readonly epoch: number;
  /** Accuracy on the validation set, by which it was chosen. */
  readonly accuracy: number;
  readonly meanClassAccuracy: number;
}

/** The first event: everything is checked and open, training starts. */
export interface StartEvent {
  readonly type: 'start';
  readonly device: string;
  /** Number of trainable values of the model. */
  readonly parameters: number;
  readonly epochs: number;
  /** The batch size, or the number of images if that is smaller. */
  readonly batchSize: number;
  readonly stepsPerEpoch: number;
  /** The highest of the schedule, before the scales of groups. */
  readonly learningRate: number;
  readonly train: DatasetSummary;
  /** Null without a validation set; the last epoch then counts as the best. */
  readonly validation: DatasetSummary | null;
  /** Epochs of the run already done; 0 for a new run. */
  readonly epochsDone: number;
  /** The checkpoint that is continued, and the steps already done. */
  readonly resumed: { readonly directory: string; readonly step: number } | null;
}

/** After each step. */
export interface StepEvent extends Losses {
  readonly type: 'step';
  /** Counted from 1. */
  readonly epoch: number;
  /** Steps of the run so far, this one included. */
  readonly step: number;
  readonly totalSteps: number;
  /** Learning rate of this step, before the scales of groups. */
  readonly learningRate: number;
  /** |g|_2 before clipping. */
  readonly gradientNorm: number;
  /** Training images per second, smoothed over the last steps. */
  readonly imagesPerSecond: number;
}

/** After each epoch and its validation. */
export interface EpochEvent extends Losses {
  readonly type: 'epoch';
  /** Counted from 1. */
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  /** Learning rate of the last step, before the scales of groups. */
  readonly learningRate: number;
  /** Figures on the validation set, in evaluation mode. */
  readonly validation: Metrics | null;
  /** True if this is the best epoch so far. */
  readonly best: boolean;
  /** Training images per second, not counting validation. */
  readonly imagesPerSecond: number;
  /** Duration of training and validation. */
  readonly seconds: number;
}

/** After a checkpoint was written; it is complete and on disk. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  /** The value for `resume`. */
  readonly directory: string;
  readonly reason: 'epoch' | 'steps' | 'abort';
  /** Counted from 1. */
  readonly epoch: number;
  readonly step: number;
}

/** The last event, and the result of awaiting a run. */
export interface EndEvent {
  readonly type: 'end';
  readonly epochs: number;
  /** The epoch (counted from 1) after which early stopping ended the run, or null if it did not. */
  readonly stoppedAfter: number | null;
  readonly steps: number;
  readonly best: BestEpoch | null;
  /** Directory of the best model, if checkpoints were requested. */
  readonly model: string | null;
  readonly seconds: number;
}

/** What {@link Trainer.fit} yields; `type` tells them apart. */
export type TrainingEvent = StartEvent | StepEvent | EpochEvent | CheckpointEvent | EndEvent;
