import { exitStatus } from './options.js';

const signals = ['SIGINT', 'SIGTERM'] as const;

/**
 * Turns the first SIGINT or SIGTERM into an AbortSignal, so that work can end cleanly; a second one
 * ends the process at once.
 */
export class Interrupt implements Disposable {
  private readonly controller = new AbortController();
  private received: NodeJS.Signals | undefined;
  private readonly listener = (name: NodeJS.Signals): void => {
    if (this.received) process.exit(this.status);
    this.received = name;
    this.onFirst();
    this.controller.abort(new Error(`received ${name}`));
  };

  /** @param onFirst called at the first signal, to tell the user what will happen */
  constructor(private readonly onFirst: () => void) {
    for (const name of signals) process.on(name, this.listener);
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** 128 + the number of the signal, as in shells. */
  get status(): number {
    return this.received === 'SIGTERM' ? exitStatus.terminated : exitStatus.interrupted;
  }

  /** Restores the default handling of the signals. */
  [Symbol.dispose](): void {
    for (const name of signals) process.off(name, this.listener);
  }
}
