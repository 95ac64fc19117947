import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { messageOf } from '../../lib/errors.js';
import { root } from '../paths.js';
import { Budget } from './budget.js';
import { Fragments, type Fragment } from './fragment.js';
import type { Context, Part } from './part.js';
import { benchParts } from './parts/bench.js';
import { buildPart } from './parts/build.js';
import { goldenPart } from './parts/golden.js';
import { parityPart } from './parts/parity.js';
import { sanitizerPart } from './parts/sanitizer.js';
import { trainPart } from './parts/train.js';
import { NoCardError, describePlatform, findCard, type Platform } from './platform.js';
import { noGpuStatus } from './programs.js';
import { collect, resultName, type GpuReport } from './report.js';
import { markdown } from './tables.js';

// bench/gpu/run.sh: verifies and measures on a GPU, part by part. See README.md in this folder.

interface Options {
  readonly budget?: number;
  readonly only?: string;
  readonly again?: boolean;
  readonly allArchitectures?: boolean;
  readonly rounds: number;
  readonly compiled: boolean;
  readonly fragments: string;
  readonly merge?: string[];
  readonly out: string;
  readonly dryRun?: boolean;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError(`Expected a positive number but got '${text}'`);
  return value;
}

const groups = ['build', 'parity', 'golden', 'train', 'sanitizer', 'bench'];

function parse(): { chosen: string[]; options: Options } {
  const command = new Command('bench/gpu/run.sh')
    .description(
      'Builds, verifies and measures countenance on the first NVIDIA GPU. Parts that passed with this\n' +
        'commit on this card are not repeated, so that a run may be cut into several.',
    )
    .argument('[parts...]', `any of ${groups.join(', ')}; report: only the tables (default: all)`)
    .option('--budget <seconds>', 'start nothing that would take longer than this in all', positive)
    .option('--only <text>', 'scenarios of bench with one of these comma-separated texts')
    .option('--again', 'repeat what passed before')
    .option(
      '--all-architectures',
      'build for everything the package ships, not for this card alone',
    )
    .option('--rounds <n>', 'rounds of bench that count', positive, 7)
    .option('--no-compiled', 'leave torch.compile out: it takes minutes a scenario')
    .option('--fragments <folder>', 'what parts leave behind', join(root, 'build/gpu/fragments'))
    .option('--merge <folder...>', 'take over fragments of earlier runs')
    .option('--out <folder>', 'where tables go', join(root, 'bench/results'))
    .option('--dry-run', 'only say what would be done')
    .parse();
  const chosen = command.args.length > 0 ? command.args : groups;
  const unknown = chosen.find((part) => ![...groups, 'report'].includes(part));
  if (unknown !== undefined) {
    throw new RangeError(`Expected parts of ${groups.join(', ')} but received '${unknown}'`);
  }
  return { chosen, options: command.opts<Options>() };
}

/** Every part, in order; `bench` has one part for each scenario. */
function allParts(options: Options): Part[] {
  return [
    ...[buildPart, parityPart, goldenPart, trainPart, sanitizerPart],
    ...benchParts({ rounds: options.rounds, compiled: options.compiled }),
  ];
}

function isChosen(name: string, chosen: readonly string[], only: string | undefined): boolean {
  if (!chosen.includes(name.split('/')[0]!)) return false;
  if (only === undefined || !name.startsWith('bench/')) return true;
  return only.split(',').some((text) => name.includes(text.trim().toLowerCase()));
}

const minutes = (seconds: number) =>
  seconds < 90 ? `${Math.round(seconds)} s` : `${(seconds / 60).toFixed(1)} min`;

/** Whether a part's figures for this card and commit exist already, with the files that it made. */
function isDone({ isHere }: Part, fragment: Fragment | undefined, platform: Platform): boolean {
  return (
    isHere?.() !== false &&
    fragment?.status === 'passed' &&
    fragment.platform.card.name === platform.card.name &&
    fragment.platform.commit === platform.commit
  );
}

async function runPart(part: Part, context: Context): Promise<Fragment> {
  const date = new Date().toISOString();
  const started = performance.now();
  const outcome = await part.run(context).catch((error: unknown) => ({
    status: 'failed' as const,
    reason: messageOf(error),
  }));
  const seconds = (performance.now() - started) / 1e3;
  return { name: part.name, date, seconds, platform: context.platform, ...outcome };
}

/** Runs the chosen parts that are not done; returns why parts were left out, and whether all went well. */
async function runParts(
  parts: readonly Part[],
  fragments: Fragments,
  context: Context,
  options: Options,
): Promise<{ reasons: Map<string, string>; good: boolean }> {
  const reasons = new Map<string, string>();
  let good = true;
  for (const part of parts) {
    if (!options.again && isDone(part, fragments.read(part.name), context.platform)) {
      console.log(`== ${part.name}: passed before`);
      continue;
    }
    const refusal = options.dryRun ? 'it was a dry run' : context.budget.refusal(part.seconds);
    console.log(`== ${part.name}: ${part.what}; about ${minutes(part.seconds)}`);
    if (refusal !== undefined) {
      console.log(`-- not started: ${refusal}`);
      reasons.set(part.name, refusal);
      good &&= options.dryRun === true;
      continue;
    }
    const fragment = await runPart(part, context);
    fragments.write(fragment);
    const why = fragment.reason === undefined ? '' : `: ${fragment.reason}`;
    console.log(`-- ${fragment.status} after ${minutes(fragment.seconds)}${why}`);
    if (fragment.status === 'not measured' && why) reasons.set(part.name, fragment.reason!);
    good &&= fragment.status === 'passed';
  }
  return { reasons, good };
}

/** Writes the JSON file and the table, if there are any figures, and prints the table. */
function keep(report: GpuReport, out: string): void {
  console.log(`\n${markdown(report)}`);
  if (report.date === null || !report.platform) return;
  mkdirSync(out, { recursive: true });
  const base = join(out, resultName(report.date, report.platform.card));
  writeFileSync(`${base}.json`, `${JSON.stringify(report, null, 1)}\n`);
  writeFileSync(`${base}.md`, markdown(report));
  console.log(`kept in ${relative(process.cwd(), `${base}.md`)}`);
}

async function main(): Promise<number> {
  const { chosen, options } = parse();
  const fragments = new Fragments(options.fragments);
  for (const folder of options.merge ?? []) fragments.merge(folder);
  const parts = allParts(options);
  const names = parts.map(({ name }) => name);
  let platform: Platform;
  try {
    platform = describePlatform(findCard());
  } catch (error) {
    if (!(error instanceof NoCardError)) throw error;
    console.log(`no GPU: ${error.message}`);
    const reasons = new Map(names.map((name) => [name, `no GPU: ${error.message}`]));
    keep(collect(fragments, names, null, reasons), options.out);
    return chosen.every((part) => part === 'report') ? 0 : noGpuStatus;
  }
  const context: Context = {
    platform,
    budget: new Budget(options.budget),
    build: join(root, 'build/gpu'),
    out: options.out,
    allArchitectures: options.allArchitectures ?? false,
    say: (text) => console.log(`   ${text}`),
  };
  const wanted = parts.filter(({ name }) => isChosen(name, chosen, options.only));
  const total = wanted.reduce((sum, { seconds }) => sum + seconds, 0);
  console.log(`${platform.card.name}: ${wanted.length} parts, about ${minutes(total)}`);
  const { reasons, good } = await runParts(wanted, fragments, context, options);
  keep(collect(fragments, names, platform, reasons), options.out);
  return good ? 0 : 1;
}

main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    console.error(messageOf(error));
    process.exit(error instanceof RangeError ? 2 : 1);
  },
);
