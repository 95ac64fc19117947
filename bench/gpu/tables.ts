import type { Comparison, Result } from '../measure.js';
import { scenarios, type Scenario } from '../scenarios.js';
import type { Spread } from '../statistics.js';
import type { Fragment } from './fragment.js';
import type { BenchResult } from './parts/bench.js';
import type { BuildResult } from './parts/build.js';
import type { GoldenResult } from './parts/golden.js';
import type { ParityResult } from './parts/parity.js';
import type { SanitizerResult } from './parts/sanitizer.js';
import type { TrainResult } from './parts/train.js';
import type { Platform } from './platform.js';
import type { TestOutcome } from './programs.js';
import type { GpuReport } from './report.js';

// A GpuReport for people: a page of Markdown. Parts without figures say so.

export const notMeasured = 'not measured yet';

/** Three significant digits. */
const digits = (value: number): string =>
  value >= 1000 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();

const small = (value: number): string =>
  value === Number.MAX_VALUE ? 'not finite' : value.toExponential(1);

const milliseconds = ({ median, q1, q3 }: Spread): string =>
  `${digits(median * 1e3)} [${digits(q1 * 1e3)}, ${digits(q3 * 1e3)}]`;

/** A fragment with figures, or a cell that says why there are none. */
function lookUp<R>(report: GpuReport, name: string): Fragment<R> | string {
  const fragment = report.fragments.find((other) => other.name === name);
  if (fragment?.result !== undefined) return fragment as Fragment<R>;
  const reason = fragment?.reason ?? report.missing.find((other) => other.name === name)?.reason;
  return reason === undefined ? notMeasured : `${notMeasured}: ${reason}`;
}

function count(tests: readonly TestOutcome[]): string {
  const of = (status: TestOutcome['status']) =>
    tests.filter((test) => test.status === status).length;
  const others = [
    of('failed') > 0 ? `${of('failed')} failed` : '',
    of('skipped') > 0 ? `${of('skipped')} skipped` : '',
  ].filter(Boolean);
  return [`${of('passed')} of ${tests.length} passed`, ...others].join(', ');
}

/** The largest error of a kind, with its test. */
function worst(tests: readonly TestOutcome[], what: string): string {
  const found = tests
    .filter((test) => what in test.errors)
    .sort((a, b) => b.errors[what]! - a.errors[what]!)[0];
  return found ? `${small(found.errors[what]!)} (${found.name})` : notMeasured;
}

type Row = readonly [what: string, verdict: string, figures: string];

/** The rows of a part's result, or one that says why there are none. */
function rows<R>(
  report: GpuReport,
  name: string,
  labels: readonly string[],
  tell: (result: R, fragment: Fragment<R>) => readonly (readonly [string, string])[],
): Row[] {
  const fragment = lookUp<R>(report, name);
  if (typeof fragment === 'string') return labels.map((label) => [label, fragment, '']);
  return tell(fragment.result!, fragment).map(([verdict, figures], i) => [
    labels[i]!,
    verdict,
    figures,
  ]);
}

function goldenRow(runs: readonly TestOutcome[], precision: string): readonly [string, string] {
  const own = runs.filter(({ name }) => name.endsWith(`_${precision}`));
  const kinds = [...new Set(own.flatMap(({ errors }) => Object.keys(errors)))];
  const figures = kinds.map((kind) => {
    const errors = own.map(({ errors }) => errors[kind] ?? 0);
    return `${kind} ${small(Math.max(...errors))}`;
  });
  return [count(own), figures.length > 0 ? `largest relative errors: ${figures.join(', ')}` : ''];
}

function verificationRows(report: GpuReport): Row[] {
  return [
    ...rows<BuildResult>(report, 'build', ['build'], ({ architectures, pluginBytes, seconds }) => [
      [
        'passed',
        `for ${architectures}, plugin of ${(pluginBytes / 1e6).toFixed(1)} MB, ${digits(seconds)} s`,
      ],
    ]),
    ...rows<ParityResult>(
      report,
      'parity',
      ['operations', 'float32 against the CPU', 'bf16 against the CPU', 'backend, PTX wrappers'],
      ({ operations, others, bounds }) => [
        [count(operations), ''],
        [worst(operations, 'fp32'), `normalised error, at most ${bounds.fp32} asked`],
        [worst(operations, 'bf16'), `normalised error, at most ${bounds.bf16} asked`],
        [count(others), ''],
      ],
    ),
    ...rows<GoldenResult>(report, 'golden', ['golden runs, float32', 'golden runs, bf16'], (r) => [
      goldenRow(r.runs, 'fp32'),
      goldenRow(r.runs, 'bf16'),
    ]),
    ...rows<TrainResult>(report, 'train', ['training curve'], ({ verdict, steps }, fragment) => [
      verdict
        ? [
            verdict.withinNoise ? 'within noise' : 'NOT within noise',
            `distance from the CPU's after ${steps} steps: float32 ${small(verdict.distances.fp32)}, ` +
              `bf16 ${small(verdict.distances.bf16)}; noise ${small(verdict.noise)}`,
          ]
        : ['failed', fragment.reason ?? ''],
    ]),
    ...rows<SanitizerResult>(
      report,
      'sanitizer',
      ['compute-sanitizer memcheck', 'compute-sanitizer racecheck'],
      ({ runs }) =>
        ['memcheck', 'racecheck'].map((tool) => {
          const own = runs.filter((run) => run.tool === tool);
          const clean = own.filter(({ status }) => status === 'clean').length;
          const first = own.find(({ status }) => status !== 'clean');
          const verdict = `${clean} of ${own.length} operations clean`;
          return [verdict, first ? `${first.test}: ${first.reason ?? first.status}` : ''];
        }),
    ),
  ];
}

/** The project's speed goal: ours as a multiple of the best PyTorch. */
function goalOf({ task, batch }: Scenario): number | undefined {
  if (task === 'train') return batch < 128 ? 1.5 : 1.2;
  return batch === 1 ? 2 : undefined;
}

function speedCell(results: readonly Result[], ending: RegExp): string {
  const result = results.find(({ contestant }) => ending.test(contestant));
  if (!result) return notMeasured;
  return result.seconds ? milliseconds(result.seconds) : `failed: ${result.error}`;
}

function memoryCell(results: readonly Result[], comparison: Comparison | null): string {
  const megabytes = (result: Result | undefined) =>
    result?.cardBytes === undefined ? '?' : (result.cardBytes / 1e6).toFixed(0);
  const best = results.find(({ contestant }) => contestant === comparison?.against);
  return `${megabytes(results[0])} / ${megabytes(best)}`;
}

function speedRow(report: GpuReport, scenario: Scenario): string[] {
  const goal = goalOf(scenario);
  const goalCell = goal === undefined ? '' : `${goal}`;
  const fragment = lookUp<BenchResult>(report, `bench/${scenario.id}`);
  if (typeof fragment === 'string') {
    return [scenario.id, fragment, '', '', '', '', '', '', goalCell, '', ''];
  }
  const { measurement, roofline } = fragment.result!;
  const { results, comparison } = measurement;
  const [ours] = results;
  return [
    scenario.id,
    speedCell(results, /^countenance$/),
    ours?.imagesPerSecond === undefined ? '' : digits(ours.imagesPerSecond),
    speedCell(results, /^countenance fp32$/),
    speedCell(results, /^PyTorch [\w.]+$/),
    speedCell(results, / graphed$/),
    speedCell(results, / compiled$/),
    comparison
      ? `${comparison.ratio.median.toFixed(2)} [${comparison.ratio.q1.toFixed(2)}, ${comparison.ratio.q3.toFixed(2)}]`
      : notMeasured,
    goalCell,
    memoryCell(results, comparison),
    roofline ? `${(100 * roofline.share).toFixed(0)} % (${roofline.boundBy})` : notMeasured,
  ];
}

const speedHeadings = [
  '',
  'countenance bf16 ms',
  'images/s',
  'countenance float32 ms',
  'PyTorch eager ms',
  'PyTorch graphed ms',
  'PyTorch max-autotune ms',
  'ours / best of them',
  'goal',
  'card MB, ours / best',
  'share of the roofline',
];

function table(headings: readonly string[], lines: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(headings), `| ${headings.map(() => '---').join(' | ')} |`, ...lines.map(line)];
}

/** The table of every scenario; docs/PERFORMANCE.md shows it where it has figures for a GPU. */
export function speedTable(report: GpuReport): string[] {
  return table(
    speedHeadings,
    scenarios.cuda.map((scenario) => speedRow(report, scenario)),
  );
}

function operationTable(report: GpuReport): string[] {
  const fragment = lookUp<ParityResult>(report, 'parity');
  if (typeof fragment === 'string') return [];
  const { operations } = fragment.result!;
  const cell = (test: TestOutcome, what: string) =>
    what in test.errors ? small(test.errors[what]!) : '';
  return [
    '',
    '## Operations',
    '',
    'The largest normalised error of the outputs and gradients of all cases.',
    '',
    ...table(
      ['', 'verdict', 'float32', 'bf16'],
      operations.map((test) => [
        test.name,
        test.status + (test.reason === undefined ? '' : `: ${test.reason.replaceAll('|', '\\|')}`),
        cell(test, 'fp32'),
        cell(test, 'bf16'),
      ]),
    ),
  ];
}

function platformLines({ card, machine, nvcc, compiler, countenance, commit }: Platform): string[] {
  const memory = (card.memoryBytes / 2 ** 30).toFixed(0);
  return [
    `${card.name}, ${memory} GiB, compute capability ${card.capability}, driver ${card.driver}` +
      (card.driverCuda === null ? '' : ` (CUDA ${card.driverCuda})`) +
      (card.powerLimit === null ? '' : `, ${card.powerLimit} W`),
    `nvcc ${nvcc ?? 'not found'}, ${compiler ?? 'no C++ compiler'}`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}`,
    `countenance ${countenance}, commit ${commit}`,
  ];
}

function torchLines(report: GpuReport): string[] {
  const lines = report.fragments
    .filter(({ name }) => name.startsWith('bench/'))
    .map((fragment) => (fragment as Fragment<BenchResult>).result?.pytorch)
    .filter((torch) => torch !== undefined)
    .map(
      ({ torch, python, cuda }) =>
        `PyTorch ${torch}: Python ${python}, CUDA ${cuda?.cuda}, cuDNN ${cuda?.cudnn}`,
    );
  return lines.length > 0 ? [...new Set(lines)] : [`PyTorch: ${notMeasured}`];
}

/** Parts whose sources differ from those of the others. */
function commitLines({ fragments, platform }: GpuReport): string[] {
  return fragments
    .filter((fragment) => fragment.platform.commit !== platform?.commit)
    .map(({ name, platform: { commit } }) => `${name} was measured with commit ${commit}`);
}

/** The page that goes with the JSON file. */
export function markdown(report: GpuReport): string {
  const { platform, date } = report;
  const head = platform
    ? [...platformLines(platform), ...torchLines(report), ...commitLines(report)]
    : [`no GPU: ${notMeasured}`];
  const lines = [
    `# ${platform?.card.name ?? 'GPU'}${date === null ? '' : `, ${date.slice(0, 10)}`}`,
    '',
    ...head.map((line) => `- ${line}`),
    '',
    '## Verification',
    '',
    ...table(['', 'verdict', 'figures'], verificationRows(report)),
    '',
    '## Speed',
    '',
    'Milliseconds a step or a batch: medians [quartiles] over rounds in turns. "ours / best of them" is our',
    "speed as a multiple of the row's fastest PyTorch: above 1 we are faster. PyTorch runs bf16 autocast,",
    'channels_last.',
    '',
    ...speedTable(report),
    ...operationTable(report),
  ];
  return `${lines.join('\n')}\n`;
}
