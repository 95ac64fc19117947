import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { without } from '../../../lib/model/config.js';
import type { Contestant } from '../../contestant.js';
import { ourContestant, torchContestants } from '../../contestants.js';
import { findPythons, type TorchDescription, type TorchPython } from '../../find-python.js';
import { measure, type Measurement } from '../../measure.js';
import { scenarios, type Scenario } from '../../scenarios.js';
import { rooflineShare, type RooflineShare } from '../limits.js';
import { releaseFolder, type Context, type Outcome, type Part } from '../part.js';
import { memoryInUse } from '../platform.js';

export interface BenchResult {
  readonly measurement: Measurement;
  /** For our step; absent for a card whose limits are not known. */
  readonly roofline?: RooflineShare;
  /** The PyTorch it was compared with. */
  readonly pytorch: Omit<TorchDescription, 'location'>;
}

/** What a scenario of the benchmark needs besides its context. */
export interface BenchOptions {
  /** Rounds that count. */
  readonly rounds: number;
  /** Leave out torch.compile, whose search takes minutes. */
  readonly compiled: boolean;
}

/** Seconds of a contestant's turn. */
const turnSeconds = 0.3;
/** Seconds that a contestant may take to get ready: torch.compile with max-autotune. */
const setUpSeconds = 300;

/** Only one Python with a GPU is measured: the first one found. */
let python: Promise<TorchPython | undefined> | undefined;

function gpuPython(): Promise<TorchPython | undefined> {
  python ??= findPythons().then((all) => all.find(({ description }) => description.cuda !== null));
  return python;
}

function contestantsOf(
  scenario: Scenario,
  torch: TorchPython,
  { compiled }: BenchOptions,
): Contestant[] {
  const env = { COUNTENANCE_ADDON: join(releaseFolder, 'countenance.node') };
  const ours = [ourContestant(scenario), ourContestant(scenario, 'fp32')].map((contestant) => ({
    ...contestant,
    env: { ...contestant.env, ...env },
  }));
  const theirs = torchContestants(torch, scenario, availableParallelism(), false);
  return [...ours, ...theirs.filter(({ variant }) => compiled || variant !== 'compiled')];
}

async function bench(
  context: Context,
  scenario: Scenario,
  options: BenchOptions,
): Promise<Outcome<BenchResult>> {
  const torch = await gpuPython();
  if (!torch) {
    return { status: 'not measured', reason: 'no Python whose PyTorch sees the GPU was found' };
  }
  const measurement = await measure(scenario, contestantsOf(scenario, torch, options), {
    rounds: options.rounds,
    warmUp: 1,
    threads: availableParallelism(),
    count: scenario.count,
    turnSeconds,
    // The time left when this one is ready must be enough for the rounds of all.
    setUpSeconds: Math.min(setUpSeconds, Math.max(1, context.budget.left - 60)),
    memoryInUse,
    progress: context.say,
  });
  const [ours] = measurement.results;
  const { card } = context.platform;
  const roofline = ours?.seconds && rooflineShare(card.name, scenario, ours.seconds.median);
  const result = {
    measurement,
    pytorch: without(torch.description, 'location'),
    ...(roofline && { roofline }),
  };
  if (ours?.error !== undefined) {
    return { status: 'failed', reason: `countenance: ${ours.error}`, result };
  }
  return { status: 'passed', result };
}

/** One part for each scenario on a GPU. */
export function benchParts(options: BenchOptions): Part<BenchResult>[] {
  return scenarios.cuda.map((scenario) => ({
    name: `bench/${scenario.id}`,
    what: 'beside PyTorch: eager, CUDA graph' + (options.compiled ? ', max-autotune' : ''),
    // Transformer networks have the most kernels to tune.
    seconds: options.compiled ? (scenario.backbone === 'swin-t' ? 240 : 150) : 60,
    run: (context) => bench(context, scenario, options),
  }));
}
