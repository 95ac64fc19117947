import type { Info } from '../lib/index.js';
import type { TorchDescription } from './find-python.js';
import type { Device } from './scenarios.js';
import type { Machine, Noise } from './machine.js';
import type { Comparison, Measurement, Result } from './measure.js';
import type { Spread } from './statistics.js';

/** One run of the benchmark: the content of its JSON file. */
export interface Report {
  /** ISO date and time of the start. */
  readonly date: string;
  /** The command that repeats it. */
  readonly command: string;
  readonly machine: Machine;
  readonly countenance: Info;
  /** Empty if no Python with PyTorch was found. */
  readonly pytorch: readonly Omit<TorchDescription, 'location'>[];
  /** The version of onnxruntime-node; absent if it was not found or not wanted. */
  readonly onnxruntime?: string | undefined;
  /** The commit that was compared with instead of other programs. */
  readonly against?: string | undefined;
  readonly device: Device;
  readonly threads: number;
  readonly rounds: number;
  readonly warmUpRounds: number;
  readonly noise: Noise;
  readonly measurements: readonly Measurement[];
}

/** Three significant digits: 0.0123, 1.23, 12.3, 1234. */
function digits(value: number): string {
  return value >= 1000 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();
}

const milliseconds = ({ median, q1, q3 }: Spread): string =>
  `${digits(median * 1e3)} [${digits(q1 * 1e3)}, ${digits(q3 * 1e3)}]`;

const ratio = ({ median, q1, q3 }: Spread): string =>
  `${median.toFixed(2)} [${q1.toFixed(2)}, ${q3.toFixed(2)}]`;

const headings = ['', 'ms', 'images/s', 'CPU ms', 'peak MB', 'ours / it'];

function row(result: Result, comparison: Comparison | null): string[] {
  const name = result.contestant + (result.informational ? ' (another precision)' : '');
  if (!result.seconds) return [name, result.error ?? 'failed', '', '', '', ''];
  const { seconds, imagesPerSecond = 0, cpuSeconds = 0, peakBytes = 0 } = result;
  const compared = comparison?.against === result.contestant;
  return [
    name,
    milliseconds(seconds),
    digits(imagesPerSecond),
    digits(cpuSeconds * 1e3),
    (peakBytes / 1e6).toFixed(0),
    compared ? ratio(comparison.ratio) : '',
  ];
}

/** A table for the terminal. */
export function measurementTable({ scenario, results, comparison }: Measurement): string {
  const rows = [[scenario.id, ...headings.slice(1)], ...results.map((r) => row(r, comparison))];
  const widths = headings.map((_, column) =>
    // The reason for a failure may be long; it does not widen the column of figures.
    Math.max(...rows.map((cells) => (cells[2] === '' && column === 1 ? 0 : cells[column]!.length))),
  );
  return rows
    .map((cells) =>
      cells
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** What was measured and on which machine, one line each. */
export function headerLines(report: Omit<Report, 'measurements' | 'noise'>): string[] {
  const { machine, countenance } = report;
  const memory = (machine.memoryBytes / 2 ** 30).toFixed(0);
  return [
    `${machine.cpu}, ${machine.cores} cores, ${memory} GiB, ${machine.platform}`,
    `countenance ${countenance.version}: ${countenance.cpu.instructionSet}, Node ${machine.node}`,
    ...describeOthers(report),
    `${report.threads} threads, ${report.device === 'cpu' ? 'fp32' : 'bf16 on the GPU'}, ${report.rounds} rounds after ${report.warmUpRounds} to warm up`,
    `command: ${report.command}`,
  ];
}

function describeOthers({ pytorch, onnxruntime, against }: Omit<Report, 'measurements' | 'noise'>) {
  if (against !== undefined) return [`compared with countenance at ${against}`];
  return [
    ...(pytorch.length === 0 ? ['PyTorch: left out, or no Python that has it was found'] : []),
    ...pytorch.map(describeTorch),
    onnxruntime === undefined
      ? 'ONNX Runtime: left out, or not found (npm run test:peers installs it)'
      : `ONNX Runtime ${onnxruntime}: our export of the network`,
  ];
}

function describeTorch(torch: Report['pytorch'][number]): string {
  const parts = [
    `Python ${torch.python}`,
    torch.torchvision ? `torchvision ${torch.torchvision}` : 'no torchvision',
    torch.oneDNN ?? 'no oneDNN',
    torch.mkl ? 'MKL' : (torch.blas ?? 'unknown BLAS'),
    torch.isa ?? 'unknown instruction set',
    `malloc of ${torch.allocator}`,
    torch.compile ? 'torch.compile' : 'without torch.compile',
  ];
  return `PyTorch ${torch.torch}: ${parts.join(', ')}`;
}

/** How far the figures can be trusted, in one line. */
export function noiseLine({ loadBefore, stolen }: Noise): string {
  const shares = stolen === null ? '' : `, ${(100 * stolen).toFixed(1)} % of the time stolen`;
  const busy = loadBefore > 0.5 || (stolen ?? 0) > 0.02;
  const verdict = busy ? ': a busy machine; repeat on a quiet one before quoting figures' : '';
  return `load before the run ${loadBefore.toFixed(2)}${shares}${verdict}`;
}

/** The page that goes with the JSON file. */
export function markdown(report: Report): string {
  const lines = [
    `# Benchmark of ${report.date.slice(0, 10)}`,
    '',
    ...[...headerLines(report), noiseLine(report.noise)].map((line) => `- ${line}`),
    '',
    'Times are medians with quartiles over the rounds, a step or a pass. "ours / it" is our speed as a',
    'multiple of the fastest other one of the same precision, taken round by round: above 1 we are faster.',
  ];
  for (const { scenario, results, comparison } of report.measurements) {
    lines.push('', `## ${scenario.id}`, '');
    lines.push(`|${headings.join(' | ')} |`, `| ---${' | ---:'.repeat(headings.length - 1)} |`);
    lines.push(...results.map((result) => `| ${row(result, comparison).join(' | ')} |`));
  }
  return `${lines.join('\n')}\n`;
}
