import { CountenanceError } from '../errors.js';
import type { EndEvent, TrainingEvent } from './events.js';

/** How a run ended, for those who await it. */
type Outcome = { readonly end: EndEvent } | { readonly error: unknown };

interface Waiter {
  readonly resolve: (end: EndEvent) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A training run that {@link Trainer.fit} has prepared. Nothing is trained until it is either iterated or
 * awaited:
 *
 * - Iterated, it yields one event after another and trains on when the next one is requested. Leaving the
 *   loop ends the run and leaves the trainer usable.
 * - Awaited, it trains to the end and gives the end event. Awaiting it again gives the same event and
 *   does not train any further.
 *
 * Awaiting a run that is being or has been iterated waits for the iteration to reach the end: it gives the
 * end event, or rejects with the error that ended the run. If the loop was left early it rejects with
 * ERR_INVALID_ARGUMENT. So do not await a run inside its own loop: it would wait for itself. Iterating a
 * run that is awaited rejects with ERR_BUSY, since its events are gone.
 *
 * Beware of `async` functions: one that returns a run awaits it, as JavaScript does with every object that
 * has a method `then`. The caller then gets the end event. To hand a run on, return it from a function that
 * is not `async`, or wrap it: `return { run }`.
 *
 * @example
 * const { best } = await trainer.fit('folder:faces#train', { validation: 0.1, epochs: 20 });
 * best?.accuracy; // 0.87
 * @example
 * for await (const event of trainer.fit('folder:faces#train', { epochs: 20 })) {
 *   if (event.type === 'epoch') console.log(event.epoch, event.loss);
 * }
 */
export class TrainingRun
  implements AsyncIterableIterator<TrainingEvent, void, undefined>, Promise<EndEvent>
{
  readonly [Symbol.toStringTag] = 'TrainingRun';
  readonly #events: AsyncGenerator<TrainingEvent, void, undefined>;
  #iterated = false;
  #outcome: Outcome | undefined;
  /** Made when somebody awaits, so that a run that is only iterated leaves no unhandled rejection. */
  #end: Promise<EndEvent> | undefined;
  #waiter: Waiter | undefined;

  /** @internal Takes a generator that does nothing before its first `next()`. */
  constructor(events: AsyncGenerator<TrainingEvent, void, undefined>) {
    this.#events = events;
  }

  /** The run itself, for `for await`. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * Trains up to the next event.
   *
   * @throws CountenanceError ERR_BUSY if the run is awaited; otherwise as {@link Trainer.fit}
   */
  async next(): Promise<IteratorResult<TrainingEvent, void>> {
    if (this.#end && !this.#iterated) {
      throw new CountenanceError(
        'ERR_BUSY',
        'The run is awaited, so its events cannot be iterated: do one of the two',
      );
    }
    this.#iterated = true;
    return this.#advance(this.#events.next());
  }

  /** Ends the run between two steps; the trainer can be used again. Called when a loop is left. */
  async return(): Promise<IteratorResult<TrainingEvent, void>> {
    this.#iterated ||= !this.#end;
    return this.#advance(this.#events.return());
  }

  /** Ends the run as {@link return} does, and rejects with `error`. */
  async throw(error: unknown): Promise<IteratorResult<TrainingEvent, void>> {
    this.#iterated ||= !this.#end;
    return this.#advance(this.#events.throw(error));
  }

  /** {@link return}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /**
   * Called by `await`: trains to the end, or waits for the iteration to get there.
   *
   * @returns a promise of the end event
   * @throws CountenanceError by rejecting: as {@link Trainer.fit}; ERR_INVALID_ARGUMENT if the
   *   run was left before its end
   */
  then<Result = EndEvent, Caught = never>(
    onEnd?: ((end: EndEvent) => Result | PromiseLike<Result>) | null,
    onError?: ((error: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Result | Caught> {
    return this.#ended().then(onEnd, onError);
  }

  /** As in a promise: {@link then} with only an error handler. */
  catch<Caught = never>(
    onError?: ((error: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<EndEvent | Caught> {
    return this.#ended().catch(onError);
  }

  /** As in a promise: {@link then} with a handler that is called either way. */
  finally(onSettled?: (() => void) | null): Promise<EndEvent> {
    return this.#ended().finally(onSettled);
  }

  #ended(): Promise<EndEvent> {
    if (!this.#end) {
      this.#end = new Promise((resolve, reject) => (this.#waiter = { resolve, reject }));
      if (this.#outcome) this.#tell(this.#outcome);
      else if (!this.#iterated) void this.#drive();
    }
    return this.#end;
  }

  async #drive(): Promise<void> {
    try {
      while (!(await this.#advance(this.#events.next())).done);
    } catch {
      // The promise of the end already has the error.
    }
  }

  /** Passes on what the generator gives, and remembers how it ended. */
  async #advance(
    step: Promise<IteratorResult<TrainingEvent, void>>,
  ): Promise<IteratorResult<TrainingEvent, void>> {
    try {
      const result = await step;
      if (result.done) {
        this.#settle({
          error: new CountenanceError(
            'ERR_INVALID_ARGUMENT',
            'The run was left before its end, so it has no end event to await',
          ),
        });
      } else if (result.value.type === 'end') {
        // The trainer is free again once the end is known.
        await this.#events.return();
        this.#settle({ end: result.value });
      }
      return result;
    } catch (error) {
      this.#settle({ error });
      throw error;
    }
  }

  #settle(outcome: Outcome): void {
    if (this.#outcome) return;
    this.#outcome = outcome;
    this.#tell(outcome);
  }

  #tell(outcome: Outcome): void {
    if ('end' in outcome) this.#waiter?.resolve(outcome.end);
    else this.#waiter?.reject(outcome.error);
  }
}
