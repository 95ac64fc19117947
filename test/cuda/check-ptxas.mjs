// Reads ptxas's report on each kernel (the .ptxas files that tools/keep-ptxas.sh left beside the
// objects) and fails if one spills registers or uses more than its bound.
// Usage: node test/cuda/check-ptxas.mjs BUILD_FOLDER [--table]
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Registers a thread may use; the first match decides. The bound follows from the threads that
 * should be resident on a multiprocessor, which has 65,536 registers.
 */
const bounds = [
  // Products: two blocks of 128 threads or one of 256.
  { kernel: /gemm|conv2d|linear|attention/, registers: 255 },
  // Everything else waits for memory: at least 768 threads hide that.
  { kernel: /./, registers: 80 },
];

/** Kernels that may spill, with the reason. */
const maySpill = [];

const [folder, option] = process.argv.slice(2);
if (!folder) {
  console.error('Usage: node test/cuda/check-ptxas.mjs BUILD_FOLDER [--table]');
  process.exit(2);
}

function demangle(names) {
  const { stdout, status } = spawnSync('c++filt', { input: names.join('\n'), encoding: 'utf8' });
  return status === 0 ? stdout.split('\n') : names;
}

/** {kernel, architecture, registers, spills, shared} of each entry function in a report. */
function parse(text) {
  const found = [];
  for (const part of text.split(/Compiling entry function /).slice(1)) {
    const [, kernel, architecture] = /^'(\S+)' for '(\S+)'/.exec(part);
    const number = (pattern) => Number(pattern.exec(part)?.[1] ?? 0);
    found.push({
      kernel,
      architecture,
      registers: number(/Used (\d+) registers/),
      spills: number(/(\d+) bytes spill stores/) + number(/(\d+) bytes spill loads/),
      stack: number(/(\d+) bytes stack frame/),
      shared: number(/(\d+) bytes smem/),
    });
  }
  return found;
}

const reports = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ptxas'),
);
const kernels = reports.flatMap((name) => parse(readFileSync(join(folder, name), 'utf8')));
if (kernels.length === 0) {
  console.error(`no report of ptxas below ${folder}`);
  process.exit(1);
}
demangle(kernels.map(({ kernel }) => kernel)).forEach((name, i) => {
  if (!kernels[i]) return;
  kernels[i].kernel = name
    .replaceAll(/countenance::cuda::|\(anonymous namespace\)::/g, '')
    .replace(/^void /, '')
    .replace(/\(.*\)$/, '');
});
kernels.sort((a, b) => (a.kernel + a.architecture < b.kernel + b.architecture ? -1 : 1));

const problems = [];
for (const { kernel, architecture, registers, spills, stack, shared } of kernels) {
  const bound = bounds.find((entry) => entry.kernel.test(kernel)).registers;
  const where = `${kernel} for ${architecture}`;
  if (registers > bound)
    problems.push(`${where}: ${registers} registers, at most ${bound} allowed`);
  if (spills > 0 && !maySpill.some((entry) => entry.kernel.test(kernel))) {
    problems.push(`${where}: ${spills} bytes spilled`);
  }
  if (option === '--table') {
    const cells = [registers, spills, stack, shared].map((n) => String(n).padStart(6)).join(' ');
    console.log(`${architecture.padEnd(7)} ${cells}  ${kernel}`);
  }
}
for (const problem of problems) console.log(problem);
const architectures = [...new Set(kernels.map(({ architecture }) => architecture))].join(', ');
console.log(
  `ptxas: ${kernels.length} kernels for ${architectures}, ${problems.length} problems, at most ` +
    `${Math.max(...kernels.map(({ registers }) => registers))} registers`,
);
process.exitCode = problems.length > 0 ? 1 : 0;
