import type { Dataset } from '../data/dataset.js';
import { checkNumber, checkObject } from '../check.js';
import { CountenanceError } from '../errors.js';
import { awaitNative, callNative, nativeAddon } from '../load-native.js';
import { internalsOf, type Model, type ModelInternals } from '../model/model.js';
import { toBatch, type ImageBatch } from '../model/images.js';
import type { NativeTrainer } from '../native.js';
import type { Losses, TrainingEvent } from './events.js';
import { checkDatasetArgument, resolveFitOptions, type FitOptions } from './fit-options.js';
import { fit } from './fit.js';
import {
  resolveTrainerOptions,
  toNativeOptions,
  type ResolvedTrainerOptions,
  type TrainerOptions,
} from './options.js';
import { prepareRun } from './run.js';
import { toTargets, type Labels } from './targets.js';
import { lossesOf } from './totals.js';
import { TrainingRun } from './training-run.js';
import type { StateDict } from '../types.js';

/** One batch of {@link Trainer.step}. */
export interface TrainingBatch {
  /** As in {@link Model.forward}. */
  readonly images: ImageBatch;
  /** Class indices (B), or probabilities (B, K) as a Float32Array or as rows. */
  readonly labels: Labels;
  /** Learning rate of this step, before the scales of `groups`. Default: the trainer's. */
  readonly learningRate?: number;
}

/** The result of {@link Trainer.step}. */
export interface StepResult extends Losses {
  /** |g|_2 before clipping. */
  readonly gradientNorm: number;
}

/**
 * Trains a model. It runs one job at a time; starting a second one is ERR_BUSY.
 *
 * @example
 * const trainer = new Trainer(model, { learningRate: 0.05 });
 * const { best } = await trainer.fit('folder:faces#train', {
 *   validation: 0.1, epochs: 20, checkpoint: 'run',
 * });
 */
export class Trainer {
  /** All options with their defaults. */
  readonly options: ResolvedTrainerOptions;
  readonly #model: Model;
  readonly #internals: ModelInternals;
  readonly #native: NativeTrainer;
  #closed = false;
  #busy = false;

  /**
   * @throws CountenanceError ERR_INVALID_ARGUMENT that names the option, ERR_UNSUPPORTED,
   *   ERR_OUT_OF_MEMORY, ERR_CLOSED if the model is closed
   */
  constructor(model: Model, options: TrainerOptions = {}) {
    this.#model = model;
    this.#internals = internalsOf(model);
    this.options = resolveTrainerOptions(options, model.config);
    const { native } = this.#internals;
    this.#native = callNative(() =>
      nativeAddon().createTrainer(native, toNativeOptions(this.options, native.tensors())),
    );
  }

  /**
   * One forward pass, backward pass and update of the weights, off the main thread. Images are not augmented,
   * and are copied before this returns.
   *
   * @returns losses and accuracy of the batch before the update
   * @throws CountenanceError ERR_INVALID_ARGUMENT, ERR_SHAPE_MISMATCH, ERR_LABEL_RANGE, ERR_NOT_FINITE
   *   (the weights are then unchanged), ERR_BATCH_TOO_LARGE, ERR_OUT_OF_MEMORY (with a batch size
   *   that would fit), ERR_BUSY, ERR_CLOSED
   * @example
   * const { loss, accuracy } = await trainer.step({ images, labels: [0, 6, 3] });
   */
  async step(batch: TrainingBatch): Promise<StepResult> {
    this.#requireIdle();
    checkObject(batch, 'a batch');
    const { classes, inputSize } = this.#model.config;
    const { images, size } = toBatch(batch.images, inputSize);
    const targets = toTargets(batch.labels, size, classes.length);
    const learningRate = checkNumber(
      batch.learningRate ?? this.options.learningRate,
      'learningRate',
      'above 0',
    );
    const { gate } = this.#internals;
    const native = {
      images: gate.busy ? images.slice() : images,
      targets,
      size,
      augment: false,
      epoch: 0,
      samples: new Uint32Array(size),
      learningRate,
    };
    this.#busy = true;
    try {
      const result = await gate.beside(() => awaitNative(() => this.#native.step(native)));
      return { ...lossesOf(result, size), gradientNorm: result.gradientNorm };
    } finally {
      this.#busy = false;
    }
  }

  /**
   * The gradient of every trainable tensor in the last step, before clipping, with PyTorch's names and
   * layouts. For tests and research.
   *
   * @throws CountenanceError ERR_INVALID_ARGUMENT before the first step, ERR_BUSY, ERR_CLOSED
   * @example
   * trainer.gradients().get('MLP.fc1.weight'); // { shape: [128, 512], data: Float32Array }
   */
  gradients(): StateDict {
    this.#requireIdle();
    const trainable = callNative(() => this.#internals.native.tensors()).filter(
      (tensor) => tensor.trainable,
    );
    return new Map(
      trainable.map(({ name, shape }) => {
        const data = callNative(() => this.#native.readGradient(name));
        return [name, { shape, data }];
      }),
    );
  }

  /**
   * Trains on a data set. Await the run to train to the end and get the end event, or iterate it to follow it
   * event by event; training starts with either ({@link TrainingRun}). An iterated run continues when the
   * next event is requested. On a GPU a few steps run ahead of the events so that it never waits, except at a
   * checkpoint and at the end. Leaving the loop ends the run; the trainer stays usable. The epoch with the
   * best accuracy on `validation` is kept, or the last one without a validation set.
   *
   * The same seed gives the same bits on the same machine, for any number of threads, and whether or not the
   * run was interrupted and resumed.
   *
   * An `async` function that returns the run awaits it: its caller gets the end event.
   *
   * @param dataset a data set, or its specification such as `ferplus:FERPlus/data#train`
   * @throws CountenanceError immediately ERR_INVALID_ARGUMENT, ERR_BUSY, ERR_CLOSED; from the run
   *   ERR_DATASET_* and read errors naming the file, ERR_NOT_FINITE if training diverges, ERR_WRITE,
   *   ERR_CHECKPOINT if `resume` does not fit, and ERR_ABORTED with the signal's reason as its cause; the
   *   trainer is then between two steps and can continue
   * @example
   * const { steps, best } = await trainer.fit('rafdb:RAF-DB#train', { validation: 0.1, epochs: 50 });
   * @example
   * const run = trainer.fit('rafdb:RAF-DB#train', {
   *   validation: 0.1, epochs: 50, batchSize: 64, checkpoint: 'run', signal,
   * });
   * for await (const event of run) {
   *   if (event.type === 'epoch') console.log(event.epoch, event.validation?.accuracy);
   * }
   */
  fit(dataset: Dataset | string, options: FitOptions = {}): TrainingRun {
    this.#requireIdle();
    if (typeof dataset !== 'string') checkDatasetArgument(dataset, 'dataset');
    return new TrainingRun(this.#run(dataset, resolveFitOptions(options)));
  }

  async *#run(
    dataset: Dataset | string,
    options: ReturnType<typeof resolveFitOptions>,
  ): AsyncGenerator<TrainingEvent, void, undefined> {
    this.#requireIdle();
    this.#busy = true;
    try {
      const parts = {
        model: this.#model,
        internals: this.#internals,
        native: this.#native,
        options: this.options,
      };
      yield* fit(await prepareRun(parts, dataset, options));
    } finally {
      this.#busy = false;
    }
  }

  /** Steps taken so far, over all calls. */
  get stepCount(): number {
    this.#requireIdle();
    return callNative(() => this.#native.stepCount);
  }

  /**
   * Frees the memory; the model stays open. Running calls reject with ERR_ABORTED; using the trainer later is
   * ERR_CLOSED. Can be called more than once.
   */
  close(): void {
    this.#closed = true;
    this.#native.close();
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** {@link close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.#internals.gate.idle();
  }

  #requireIdle(): void {
    if (this.#closed)
      throw new CountenanceError('ERR_CLOSED', 'The trainer was used after close()');
    internalsOf(this.#model); // ERR_CLOSED if the model is closed
    if (!this.#busy) return;
    throw new CountenanceError(
      'ERR_BUSY',
      'The trainer does one job at a time: wait for the running step or fit to end',
    );
  }
}
