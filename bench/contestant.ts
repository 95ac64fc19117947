import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Precision, Scenario } from './scenarios.js';

/** One side of a comparison: a program that answers JSON lines, and how it is to run. */
export interface Contestant {
  /** Such as `countenance` or `PyTorch 1.13 traced`. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** How the program is to run the network; `eager` is the plain way. */
  readonly variant: 'eager' | 'traced' | 'compiled' | 'graphed';
  readonly precision: Precision;
  /** Its precision differs from the scenario's: shown, never compared. */
  readonly informational: boolean;
}

/** The cost of a turn. */
export interface Turn {
  /** Wall time of each step or pass. */
  readonly seconds: readonly number[];
  /** Processor time of the process over all of them. */
  readonly cpuSeconds: number;
  /** The loss of the last step, or the mean magnitude of its logits: shows that work was done. */
  readonly value: number;
}

/** The peak memory of a contestant's process, in bytes. */
export interface PeakMemory {
  /** Its resident set. */
  readonly peakBytes: number;
  /** The memory it allocated for tensors on the GPU, if it uses one and can tell. */
  readonly deviceBytes?: number;
}

type Answer = Readonly<Record<string, unknown>>;

/** A contestant's process, set up for one scenario. */
export class Runner {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  #errors = '';
  #failure: Error | undefined;

  constructor(contestant: Contestant) {
    this.#child = spawn(contestant.command, contestant.args, {
      env: { ...process.env, ...contestant.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    this.#child.on('error', (error) => (this.#failure = error));
    // When the process ends, its output ends too.
    this.#child.stdin.on('error', () => undefined);
    const lines = createInterface({ input: this.#child.stdout });
    this.#answers = lines[Symbol.asyncIterator]();
  }

  /** Builds the network and runs it once. Rejects with the reason if it cannot. */
  async setUp(scenario: Scenario, contestant: Contestant, threads: number): Promise<void> {
    const { task, backbone, size, batch, device } = scenario;
    const { variant, precision } = contestant;
    const network = { task, backbone, size, batch, device, precision };
    await this.#ask({ cmd: 'setup', ...network, threads, variant });
  }

  async run(count: number): Promise<Turn> {
    const { seconds, cpuSeconds, value } = await this.#ask({ cmd: 'run', count });
    const isNumber = (x: unknown): x is number => typeof x === 'number' && Number.isFinite(x);
    if (
      !Array.isArray(seconds) ||
      seconds.length !== count ||
      !seconds.every(isNumber) ||
      !isNumber(cpuSeconds) ||
      !isNumber(value)
    ) {
      throw new Error(`Expected ${count} finite times and a finite value`);
    }
    return { seconds, cpuSeconds, value };
  }

  async memory(): Promise<PeakMemory> {
    const { peakBytes, deviceBytes } = await this.#ask({ cmd: 'memory' });
    const device = typeof deviceBytes === 'number' ? { deviceBytes } : {};
    return { peakBytes: Number(peakBytes), ...device };
  }

  /** Ends the process and waits until its memory is free again. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#failure) return;
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin.end();
    const timer = setTimeout(() => this.kill(), 10_000);
    await ended;
    clearTimeout(timer);
  }

  /** Ends the process at once; pending requests reject. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async #ask(request: Answer): Promise<Answer> {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    const next: IteratorResult<string, unknown> = await this.#answers.next();
    if (next.done) {
      const last = this.#errors.trim().split('\n').at(-1) ?? '';
      throw new Error(this.#failure?.message ?? `the process ended: ${last}`);
    }
    const answer = JSON.parse(next.value) as Answer;
    if (typeof answer['error'] === 'string') throw new Error(answer['error']);
    return answer;
  }
}
