import { lossTermNames } from '../../core-options.js';
import { CountenanceError } from '../../errors.js';
import { figureNames, figures } from '../../metrics.js';
import type { EpochEvent, StepEvent, TrainingEvent } from '../events.js';
import { drawConfusion } from './confusion-image.js';
import { EventFile } from './event-file.js';
import type { TrainingLog } from './log.js';

/**
 * Logs a training run for TensorBoard: losses, accuracy, learning rate, norm of the gradient and
 * speed by step under `train`, means over the epochs under `epoch`, and under `validation` the figures
 * and the confusion matrix as an image. A resumed run adds a file, and what earlier files say of later
 * steps no longer counts.
 *
 * @example
 * await using log = TensorBoardLog.at('runs/first'); // tensorboard --logdir runs
 * for await (const event of trainer.fit(data, options)) await log.report(event);
 */
export class TensorBoardLog implements TrainingLog {
  #file: EventFile | undefined;
  #closed = false;

  private constructor(
    /** The directory of the event files. */
    readonly directory: string,
  ) {}

  /** The directory and its file are created at the first event. */
  static at(directory: string): TensorBoardLog {
    return new TensorBoardLog(directory);
  }

  async report(event: TrainingEvent): Promise<void> {
    if (this.#closed) throw new CountenanceError('ERR_CLOSED', 'The log was used after close()');
    if (event.type === 'start') {
      await this.#file?.close();
      const purgeStep = event.resumed ? event.resumed.step + 1 : undefined;
      this.#file = await EventFile.create(this.directory, purgeStep);
    }
    if (event.type === 'step') await this.#file?.scalars(event.step, stepScalars(event));
    if (event.type === 'epoch') await this.#epoch(event);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#file?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #epoch(event: EpochEvent): Promise<void> {
    const { step, validation } = event;
    await this.#file?.scalars(step, epochScalars(event));
    if (!validation) return;
    await this.#file?.image(step, 'validation/confusion', await drawConfusion(validation));
  }
}

function stepScalars(event: StepEvent): Record<string, number> {
  return {
    'train/loss': event.loss,
    ...Object.fromEntries(lossTermNames.map((name) => [`train/${name}`, event[name]])),
    'train/accuracy': event.accuracy,
    'train/learning_rate': event.learningRate,
    'train/gradient_norm': event.gradientNorm,
    'train/images_per_second': event.imagesPerSecond,
  };
}

function epochScalars(event: EpochEvent): Record<string, number> {
  const { validation } = event;
  return {
    'epoch/loss': event.loss,
    'epoch/accuracy': event.accuracy,
    ...(validation &&
      Object.fromEntries(
        figureNames.map((name) => [`validation/${figures[name].tag}`, validation[name]]),
      )),
  };
}
