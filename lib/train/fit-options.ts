import {
  checkBoolean,
  checkChoice,
  checkInteger,
  checkObject,
  checkText,
  invalidArgument,
} from '../check.js';
import type { Dataset } from '../data/dataset.js';
import { isAbortSignal } from '../realm.js';
import { samplings, type ClassWeights, type SamplingName } from '../data/sampling.js';
import { checkEarlyStopping, type EarlyStopping } from './early-stopping.js';
import { schedules, type ScheduleName } from './schedule.js';

/** Where and when {@link Trainer.fit} saves. */
export interface CheckpointOptions {
  /**
   * The best model so far is kept in this directory, and the newest checkpoint (a model directory plus the
   * state of the trainer) in its folder `last`. Each is replaced completely or not at all.
   */
  readonly directory: string;
  /** Also save every this many steps; default: only after each epoch. */
  readonly everySteps?: number;
  /** Also save when the signal aborts. Default false. */
  readonly onAbort?: boolean;
  /** Stored in the checkpoint unchanged: JSON values. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Options of {@link Trainer.fit}. */
export interface FitOptions {
  /** Default 10. */
  readonly epochs?: number;
  /** Default 64, or the number of images if that is less. */
  readonly batchSize?: number;
  /**
   * Used to select the best epoch: a data set, its specification, or a fraction (between 0 and 1) to split
   * off the training set, stratified by class. Default: none; the last epoch is kept.
   */
  readonly validation?: Dataset | string | number | null | undefined;
  /** Default `cosine`. */
  readonly schedule?: ScheduleName;
  /** Default 200, but at most a fifth of the run. */
  readonly warmupSteps?: number | undefined;
  /** Drop the last batch of an epoch if it is incomplete. Default true. */
  readonly dropLast?: boolean;
  /** How often images are drawn in an epoch. Default `shuffle`: once each. */
  readonly sampling?: SamplingName;
  /**
   * Factors by which images of a class are drawn more often, by class name; default 1. The expected gradient
   * is that of a loss in which each image is weighted by its class, relative to the mean weight.
   */
  readonly classWeights?: ClassWeights | undefined;
  /** Stop when the validation accuracy no longer improves. Default: run all epochs. Needs `validation`. */
  readonly earlyStopping?: EarlyStopping | null | undefined;
  readonly checkpoint?: string | CheckpointOptions | undefined;
  /** Continue from a checkpoint, with the same bits as an uninterrupted run. */
  readonly resume?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Memory for decoded images in bytes. Default: a quarter of the machine's memory, at most 8 GiB. */
  readonly cacheBytes?: number | undefined;
}

/** {@link FitOptions} with their defaults. */
export interface ResolvedFitOptions {
  readonly epochs: number;
  readonly batchSize: number;
  readonly validation: Dataset | string | number | null;
  readonly schedule: ScheduleName;
  readonly warmupSteps: number | undefined;
  readonly dropLast: boolean;
  readonly sampling: SamplingName;
  readonly classWeights: ClassWeights;
  readonly earlyStopping: Required<EarlyStopping> | null;
  readonly checkpoint: CheckpointOptions | null;
  readonly resume: string | null;
  readonly signal: AbortSignal | undefined;
  readonly cacheBytes: number | undefined;
}

/**
 * All defaults and checks of the options of fit.
 *
 * @throws CountenanceError ERR_INVALID_ARGUMENT that names the option
 */
export function resolveFitOptions(options: FitOptions): ResolvedFitOptions {
  checkObject(options, 'the options of fit');
  const { signal, cacheBytes } = options;
  if (signal !== undefined && !isAbortSignal(signal)) {
    throw invalidArgument('an AbortSignal', 'signal', signal);
  }
  return {
    epochs: checkInteger(options.epochs ?? 10, 'epochs', 1, 1_000_000),
    batchSize: checkInteger(options.batchSize ?? 64, 'batchSize', 1, 4096),
    validation: checkValidation(options.validation ?? null),
    schedule: checkChoice(options.schedule ?? 'cosine', 'schedule', schedules),
    warmupSteps: options.warmupSteps,
    dropLast: checkBoolean(options.dropLast ?? true, 'dropLast'),
    sampling: checkChoice(options.sampling ?? 'shuffle', 'sampling', samplings),
    classWeights: checkClassWeights(options.classWeights ?? {}),
    earlyStopping: checkEarlyStopping(options.earlyStopping),
    checkpoint: checkCheckpoint(options.checkpoint),
    resume: options.resume === undefined ? null : checkText(options.resume, 'resume', 'a path'),
    signal,
    cacheBytes: cacheBytes === undefined ? undefined : checkInteger(cacheBytes, 'cacheBytes', 0),
  };
}

function checkValidation(value: unknown): Dataset | string | number | null {
  if (typeof value === 'number' && !(value > 0 && value < 1)) {
    throw invalidArgument('a share between 0 and 1', 'validation', value);
  }
  if (typeof value === 'string' || typeof value === 'number' || value === null) return value;
  return checkDatasetArgument(value, 'validation');
}

/** Checks that a value looks like a data set, and returns it. */
export function checkDatasetArgument(value: unknown, name: string): Dataset {
  const looksRight =
    typeof value === 'object' &&
    value !== null &&
    'size' in value &&
    'classes' in value &&
    typeof (value as Partial<Dataset>).load === 'function';
  if (looksRight) return value as Dataset;
  throw invalidArgument("a data set or a specification such as 'folder:faces#train'", name, value);
}

function checkClassWeights(value: ClassWeights): ClassWeights {
  checkObject(value, 'classWeights');
  return { ...value };
}

function checkCheckpoint(value: FitOptions['checkpoint']): CheckpointOptions | null {
  if (value === undefined) return null;
  if (typeof value === 'string') return { directory: checkText(value, 'checkpoint', 'a path') };
  checkObject(value, 'checkpoint');
  checkText(value.directory, 'checkpoint.directory', 'a path');
  checkInteger(value.everySteps ?? 1, 'checkpoint.everySteps', 1);
  checkBoolean(value.onAbort ?? false, 'checkpoint.onAbort');
  return value;
}
