/** The time that a run may take. */
export class Budget {
  readonly #start: number;

  /**
   * @param seconds from now on; undefined: no limit
   * @param now a clock in seconds
   */
  constructor(
    readonly seconds: number | undefined,
    private readonly now: () => number = () => performance.now() / 1e3,
  ) {
    this.#start = now();
  }

  get used(): number {
    return this.now() - this.#start;
  }

  /** Seconds left; infinite without a limit. */
  get left(): number {
    return this.seconds === undefined ? Infinity : Math.max(0, this.seconds - this.used);
  }

  /** Why something that takes about `seconds` should not be started; undefined if it may be. */
  refusal(seconds: number): string | undefined {
    if (seconds <= this.left) return undefined;
    return `it takes about ${Math.round(seconds)} s and ${Math.floor(this.left)} s of the budget are left`;
  }
}
