import type { LossTerms } from '../description.js';
import type { Metrics } from '../metrics.js';

/** The losses and the accuracy of a step, or their means over an epoch. */
export interface Losses extends LossTerms {
  /** The sum of the terms times their weights: what training lowers. */
  readonly loss: number;
  /** Share of the (augmented) training images classified rightly, 0..1. */
  readonly accuracy: number;
}

/** What a data set of a run is. */
export interface DatasetSummary {
  readonly name: string;
  readonly size: number;
  /** Images of each class, by name. */
  readonly classCounts: Readonly<Record<string, number>>;
  /** What opening it found out, such as images left out. */
  readonly notes: readonly string[];
}

/** The epoch whose weights were best on the validation set. */
export interface BestEpoch {
  /** Counted from 1. */
  readonly epoch: number;
  /** Accuracy on the validation set, by which it was chosen. */
  readonly accuracy: number;
  readonly meanClassAccuracy: number;
}

/** The first event: all is checked and open, training starts. */
export interface StartEvent {
  readonly type: 'start';
  readonly device: string;
  /** Trainable values of the model. */
  readonly parameters: number;
  readonly epochs: number;
  /** The batch size, or the number of images where that is less. */
  readonly batchSize: number;
  readonly stepsPerEpoch: number;
  /** The highest of the schedule, before the scales of groups. */
  readonly learningRate: number;
  readonly train: DatasetSummary;
  /** Null without a validation set: then the last epoch counts as the best. */
  readonly validation: DatasetSummary | null;
  /** Epochs of the run done before; 0 for a new one. */
  readonly epochsDone: number;
  /** The checkpoint that is continued, and the steps done before. */
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
  /** Training images a second, smoothed over the last steps. */
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
  /** True where this is the best epoch so far. */
  readonly best: boolean;
  /** Training images a second, without the validation. */
  readonly imagesPerSecond: number;
  /** Duration of training and validation. */
  readonly seconds: number;
}

/** After a checkpoint was written; it is whole and on disk. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  /** What `resume` takes. */
  readonly directory: string;
  readonly reason: 'epoch' | 'steps' | 'abort';
  /** Counted from 1. */
  readonly epoch: number;
  readonly step: number;
}

/** The last event, and what awaiting a run gives. */
export interface EndEvent {
  readonly type: 'end';
  readonly epochs: number;
  /** The epoch (counted from 1) after which early stopping ended the run, or null where it did not. */
  readonly stoppedAfter: number | null;
  readonly steps: number;
  readonly best: BestEpoch | null;
  /** Directory of the best model, where checkpoints were asked for. */
  readonly model: string | null;
  readonly seconds: number;
}

/** What {@link Trainer.fit} yields; `type` tells them apart. */
export type TrainingEvent = StartEvent | StepEvent | EpochEvent | CheckpointEvent | EndEvent;
