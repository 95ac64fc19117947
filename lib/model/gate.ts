/**
 * Keeps reads and writes of a model's weights apart from the jobs that use them. Jobs (forward passes,
 * training steps) share the gate, since the addon runs them one after another; whoever copies the
 * weights piece by piece takes it alone, so that what is copied belongs together.
 */
export class Gate {
  private shared = 0;
  private exclusive = false;
  private readonly waiting: { readonly exclusive: boolean; readonly enter: () => void }[] = [];

  /** True while anybody is inside. */
  get busy(): boolean {
    return this.shared > 0 || this.exclusive;
  }

  /** Runs a job; it may run beside others, but not beside {@link alone}. */
  async beside<T>(work: () => Promise<T>): Promise<T> {
    if (this.exclusive || this.waiting.length > 0) await this.wait(false);
    else this.shared += 1;
    try {
      return await work();
    } finally {
      this.shared -= 1;
      this.admit();
    }
  }

  /** Runs when all that came before has ended, and before anything that comes later. */
  async alone<T>(work: () => T | Promise<T>): Promise<T> {
    if (this.busy || this.waiting.length > 0) await this.wait(true);
    else this.exclusive = true;
    try {
      return await work();
    } finally {
      this.exclusive = false;
      this.admit();
    }
  }

  /** Settles when all that came before has ended. */
  idle(): Promise<void> {
    return this.alone(() => undefined);
  }

  private wait(exclusive: boolean): Promise<void> {
    return new Promise((enter) => this.waiting.push({ exclusive, enter }));
  }

  /** Lets the next in line in, and those behind it who may be there too. Entering counts at once. */
  private admit(): void {
    for (let next = this.waiting[0]; next && !this.exclusive; next = this.waiting[0]) {
      if (next.exclusive && this.shared > 0) return;
      this.waiting.shift();
      if (next.exclusive) this.exclusive = true;
      else this.shared += 1;
      next.enter();
    }
  }
}
