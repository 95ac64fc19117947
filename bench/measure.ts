import { messageOf } from '../lib/errors.js';
import { Runner, type Contestant, type PeakMemory, type Turn } from './contestant.js';
import type { Scenario } from './scenarios.js';
import { spreadOf, type Spread } from './statistics.js';

/** The results of one contestant in one scenario. */
export interface Result {
  readonly contestant: string;
  readonly informational: boolean;
  /** Why it could not run; the figures are then missing. */
  readonly error?: string;
  /** Wall time of a step or pass: median and quartiles over the rounds' medians. */
  readonly seconds?: Spread;
  /** Median processor time of a step or pass. */
  readonly cpuSeconds?: number;
  readonly imagesPerSecond?: number;
  /** Peak resident set size of its process, which ran nothing else. */
  readonly peakBytes?: number;
  /** Its peak allocation for tensors on the GPU, as it reports it. */
  readonly deviceBytes?: number;
  /** GPU memory its process had taken after its first run, including context and libraries. */
  readonly cardBytes?: number;
  /** The median wall time of a step or pass in each round. */
  readonly rounds?: readonly number[];
}

/** Ours compared with the fastest of the others. */
export interface Comparison {
  readonly against: string;
  /** Our speed as a multiple of theirs, round by round: above 1 we are faster. */
  readonly ratio: Spread;
}

/** Everything about one scenario. */
export interface Measurement {
  readonly scenario: Scenario;
  readonly results: readonly Result[];
  readonly comparison: Comparison | null;
}

export interface MeasureOptions {
  /** Rounds that count. */
  readonly rounds: number;
  /** Warm-up rounds before them that do not count. */
  readonly warmUp: number;
  readonly threads: number;
  /** Steps or passes of a turn. */
  readonly count: number;
  /** Instead of `count`: how long a turn takes, in seconds; each contestant finds its own count. */
  readonly turnSeconds?: number;
  /** The time limit for building a network and running it once, in seconds; default: no limit. */
  readonly setUpSeconds?: number;
  /** The GPU's memory in use, in bytes; undefined if unknown. */
  readonly memoryInUse?: () => Promise<number | undefined>;
  readonly progress: (text: string) => void;
}

interface Entry {
  readonly contestant: Contestant;
  readonly turns: Turn[];
  runner?: Runner;
  error?: string;
  count: number;
  cardBytes?: number;
  memory?: PeakMemory;
}

/** Runs an action of an entry; a failure ends this entry only. */
async function attempt(entry: Entry, action: (runner: Runner) => Promise<void>): Promise<void> {
  if (entry.error !== undefined || !entry.runner) return;
  try {
    await action(entry.runner);
  } catch (error) {
    entry.error = messageOf(error);
  }
}

/** Rejects, and ends the contestant, if one of its promises takes longer than `seconds`. */
async function within<T>(
  seconds: number | undefined,
  runner: Runner,
  work: Promise<T>,
): Promise<T> {
  if (seconds === undefined) return work;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`not ready after ${Math.round(seconds)} s`));
      runner.kill();
    }, seconds * 1e3);
  });
  work.catch(() => undefined); // it may fail after it was abandoned
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Steps that fill a turn, at least 3, from the median of a few. */
async function countFor(runner: Runner, turnSeconds: number): Promise<number> {
  const { seconds } = await runner.run(5);
  return Math.max(3, Math.min(1000, Math.round(turnSeconds / spreadOf(seconds).median)));
}

/** Builds a contestant's network and runs it once. */
async function prepare(entry: Entry, scenario: Scenario, options: MeasureOptions): Promise<void> {
  options.progress(`${scenario.id}: preparing ${entry.contestant.name}`);
  const before = await options.memoryInUse?.();
  entry.runner = new Runner(entry.contestant);
  await attempt(entry, async (runner) => {
    const ready = runner.setUp(scenario, entry.contestant, options.threads);
    await within(options.setUpSeconds, runner, ready);
    if (options.turnSeconds !== undefined)
      entry.count = await countFor(runner, options.turnSeconds);
    const after = await options.memoryInUse?.();
    if (before !== undefined && after !== undefined) entry.cardBytes = after - before;
  });
}

/** Runs contestants in turns: A B C, B C A, C A B, ... so that drift of the machine affects all. */
async function interleave(
  contestants: readonly Contestant[],
  scenario: Scenario,
  options: MeasureOptions,
): Promise<Entry[]> {
  const entries: Entry[] = contestants.map((contestant) => ({
    contestant,
    turns: [],
    count: options.count,
  }));
  try {
    for (const entry of entries) await prepare(entry, scenario, options);
    const rounds = options.warmUp + options.rounds;
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < entries.length; i++) {
        const entry = entries[(round + i) % entries.length]!;
        options.progress(
          `${scenario.id}: round ${round + 1} of ${rounds}, ${entry.contestant.name}`,
        );
        await attempt(entry, async (runner) => {
          const turn = await runner.run(entry.count);
          if (round >= options.warmUp) entry.turns.push(turn);
        });
      }
    }
    for (const entry of entries) {
      await attempt(entry, async (runner) => {
        entry.memory = await runner.memory();
      });
    }
  } finally {
    await Promise.all(entries.map(async ({ runner }) => runner?.close()));
  }
  return entries;
}

function toResult(entry: Entry, batch: number): Result {
  const { contestant, turns, error, memory, cardBytes } = entry;
  const base = { contestant: contestant.name, informational: contestant.informational };
  if (error !== undefined) return { ...base, error };
  const rounds = turns.map((turn) => spreadOf(turn.seconds).median);
  const seconds = spreadOf(rounds);
  const cpu = turns.map((turn) => turn.cpuSeconds / turn.seconds.length);
  return {
    ...base,
    seconds,
    cpuSeconds: spreadOf(cpu).median,
    imagesPerSecond: batch / seconds.median,
    peakBytes: 0,
    ...memory,
    ...(cardBytes !== undefined && { cardBytes }),
    rounds,
  };
}

/** The first result compared with the fastest other one of the same precision. */
export function compare(results: readonly Result[]): Comparison | null {
  const [ours, ...others] = results;
  const rivals = others.filter((result) => result.seconds && !result.informational);
  if (!ours?.rounds || rivals.length === 0) return null;
  const best = rivals.reduce((a, b) => (b.seconds!.median < a.seconds!.median ? b : a));
  const ratios = ours.rounds.map((seconds, round) => best.rounds![round]! / seconds);
  return { against: best.contestant, ratio: spreadOf(ratios) };
}

/**
 * Measures a scenario. `contestants[0]` is ours. Contestants of another precision run after the others,
 * in their own turns: they need not be compared, and several large networks at once need much memory.
 */
export async function measure(
  scenario: Scenario,
  contestants: readonly Contestant[],
  options: MeasureOptions,
): Promise<Measurement> {
  const compared = contestants.filter(({ informational }) => !informational);
  const entries = await interleave(compared, scenario, options);
  for (const contestant of contestants.filter(({ informational }) => informational)) {
    entries.push(...(await interleave([contestant], scenario, options)));
  }
  const results = entries.map((entry) => toResult(entry, scenario.batch));
  return { scenario, results, comparison: compare(results) };
}
