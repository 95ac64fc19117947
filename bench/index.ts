import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { messageOf } from '../lib/errors.js';
import { info } from '../lib/index.js';
import { without } from '../lib/model/config.js';
import { buildCommit, commitContestant, isSlower, regressionLine } from './commit.js';
import type { Contestant } from './contestant.js';
import {
  nameOfTorch,
  onnxRuntimeContestants,
  ourContestant,
  torchContestants,
} from './contestants.js';
import { findOnnxRuntime } from './find-onnxruntime.js';
import { findPythons } from './find-python.js';
import { describeMachine, watchNoise } from './machine.js';
import { measure, type Measurement } from './measure.js';
import { headerLines, markdown, measurementTable, noiseLine, type Report } from './report.js';
import { devices, selectScenarios, type Device, type Scenario } from './scenarios.js';

// npm run bench: training steps and forward passes of countenance and others in one run, in turns.
// README.md in this folder explains how to read the output.

interface Options {
  readonly quick?: boolean;
  readonly only?: string;
  readonly device: Device;
  readonly threads: number;
  readonly rounds?: number;
  readonly json?: string;
  readonly pytorch: boolean;
  readonly onnxruntime: boolean;
  readonly against?: string;
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new InvalidArgumentError(`Expected a positive integer but received '${text}'`);
  }
  return value;
}

function parseOptions(): Options {
  return new Command('npm run bench --')
    .description(
      'Measures training and inference of countenance, beside PyTorch and ONNX Runtime where they are ' +
        'found, or beside itself at a former commit.',
    )
    .option('--quick', 'one warm-up and two short rounds, plain variants: a look, not a result')
    .option('--only <text>', 'scenarios whose name holds one of these comma-separated texts')
    .addOption(
      new Option('--device <name>', 'where to run: float32 on the CPU, bf16 on a GPU')
        .choices(devices)
        .default('cpu'),
    )
    .option('--threads <n>', 'CPU threads of each side', positiveInteger, availableParallelism())
    .option('--rounds <n>', 'rounds that count (default: 7, quick: 2)', positiveInteger)
    .option('--json <file>', 'write the figures to this file too')
    .option('--no-pytorch', 'leave PyTorch out')
    .option('--no-onnxruntime', 'leave ONNX Runtime out')
    .option(
      '--against <commit>',
      'compare with countenance at this commit instead; exit status 1 if we became slower',
    )
    .parse()
    .opts<Options>();
}

/** One line that is overwritten on a terminal; nothing elsewhere. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

/** Results of a complete run are kept: bench/results/<date>-<cpu>.json and .md. */
function keep(report: Report): string {
  const folder = join(__dirname, 'results');
  mkdirSync(folder, { recursive: true });
  const cpu = report.machine.cpu.toLowerCase().replace(/\(r\)|\(tm\)/g, '');
  const name = `${report.date.slice(0, 10)}-${cpu.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')}`;
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(folder, `${name}.md`), markdown(report));
  return relative(process.cwd(), join(folder, `${name}.md`));
}

async function main(): Promise<void> {
  const options = parseOptions();
  const { quick = false, threads } = options;
  const scenarios = selectScenarios(options.only, options.device);
  const stopWatching = watchNoise();
  progress('looking for PyTorch');
  const commit = options.against === undefined ? undefined : buildCommit(options.against, progress);
  const pythons = options.pytorch && !commit ? await findPythons() : [];
  const onnxRuntime = options.onnxruntime && !commit ? findOnnxRuntime() : undefined;
  const othersOf = (scenario: Scenario): Contestant[] =>
    commit
      ? [commitContestant(commit, scenario)]
      : [
          ...pythons.flatMap((python) => torchContestants(python, scenario, threads, quick)),
          ...(onnxRuntime ? onnxRuntimeContestants(onnxRuntime, scenario) : []),
        ];
  // Where the figures go is not part of the measurement.
  const given = process.argv
    .slice(2)
    .filter((text, i, all) => !/^--json(=|$)/.test(text) && all[i - 1] !== '--json');
  const head = {
    date: new Date().toISOString(),
    command: ['npm run bench', ...(given.length > 0 ? ['--', ...given] : [])].join(' '),
    machine: describeMachine(),
    countenance: info(),
    pytorch: pythons.map(({ description }) => without(description, 'location')),
    onnxruntime: onnxRuntime?.version,
    against: commit?.name,
    device: options.device,
    threads,
    rounds: options.rounds ?? (quick ? 2 : 7),
    warmUpRounds: 1,
  };
  progress('');
  console.log(headerLines(head).join('\n'));
  for (const python of pythons) console.log(`${nameOfTorch(python)} is ${python.path}`);
  const measurements: Measurement[] = [];
  for (const scenario of scenarios) {
    const contestants = [ourContestant(scenario), ...othersOf(scenario)];
    const measurement = await measure(scenario, contestants, {
      rounds: head.rounds,
      warmUp: head.warmUpRounds,
      threads,
      count: quick ? Math.ceil(scenario.count / 4) : scenario.count,
      ...(scenario.device === 'cuda' && { turnSeconds: quick ? 0.1 : 0.3 }),
      progress,
    });
    progress('');
    measurements.push(measurement);
    console.log(`\n${measurementTable(measurement)}`);
  }
  const report: Report = { ...head, noise: stopWatching(), measurements };
  console.log(`\n${noiseLine(report.noise)}`);
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
  }
  // A GPU's results are kept by bench/gpu, with its card and driver.
  const whole =
    !quick &&
    options.only === undefined &&
    options.pytorch &&
    options.device === 'cpu' &&
    options.against === undefined;
  if (whole) console.log(`kept in ${keep(report)}`);
  if (commit) {
    console.log(regressionLine(commit, measurements));
    if (measurements.some(({ comparison }) => isSlower(comparison))) process.exitCode = 1;
  }
  if (measurements.some(({ results }) => results[0]?.error !== undefined)) process.exitCode = 1;
}

main().catch((error: unknown) => {
  console.error(messageOf(error));
  process.exitCode = error instanceof RangeError ? 2 : 1;
});
