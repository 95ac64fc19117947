import type { TrainingEvent } from '../events.js';

/**
 * Records the events of a training run. Give it each event of `Trainer.fit`, and close it at the end.
 *
 * @example
 * await using log = TensorBoardLog.at('runs/first');
 * for await (const event of trainer.fit(data, options)) await log.report(event);
 */
export interface TrainingLog extends AsyncDisposable {
  /** @throws CountenanceError ERR_WRITE, ERR_CLOSED */
  report(event: TrainingEvent): Promise<void>;
  /** Closes the file. Can be called more than once. */
  close(): Promise<void>;
}
