import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { CountenanceError } from '../errors.js';

/** A program that the build of the CUDA plugin needs on PATH. */
interface Tool {
  readonly name: string;
  readonly arguments: readonly string[];
  /** Finds its version, major and minor, in its output. */
  readonly version: RegExp;
  readonly least: readonly [major: number, minor: number];
  /** How to get it. */
  readonly hint: string;
}

const debian = (name: string): string => `apt-get install ${name} on Debian or Ubuntu`;

const tools: readonly Tool[] = [
  {
    name: 'nvcc',
    arguments: ['--version'],
    version: /release (\d+)\.(\d+)/,
    least: [12, 8],
    hint: 'part of the CUDA toolkit, whose bin folder, often /usr/local/cuda/bin, must be on PATH',
  },
  {
    name: 'cmake',
    arguments: ['--version'],
    version: /version (\d+)\.(\d+)/,
    least: [3, 21],
    hint: debian('cmake'),
  },
  {
    name: 'g++',
    arguments: ['-dumpfullversion'],
    version: /^(\d+)\.(\d+)/,
    least: [10, 0],
    hint: debian('g++'),
  },
  {
    name: 'make',
    arguments: ['--version'],
    version: /(\d+)\.(\d+)/,
    least: [3, 81],
    hint: debian('make'),
  },
];

const run = promisify(execFile);

/** The output of a program; undefined if it does not exist or fails. */
async function outputOf(name: string, args: readonly string[]): Promise<string | undefined> {
  try {
    return (await run(name, args)).stdout;
  } catch {
    return undefined;
  }
}

/**
 * Checks that every tool is installed and new enough.
 *
 * @throws CountenanceError ERR_BUILD that names what is missing or too old and how to get it
 */
export async function checkTools(): Promise<void> {
  const problems = await Promise.all(tools.map(problemOf));
  const found = problems.filter((problem) => problem !== '');
  if (found.length === 0) return;
  throw new CountenanceError(
    'ERR_BUILD',
    `The CUDA plugin cannot be built here: ${found.join('; ')}`,
  );
}

async function problemOf({ name, arguments: args, version, least, hint }: Tool): Promise<string> {
  const output = await outputOf(name, args);
  const wanted = `${least.join('.')} or later`;
  if (output === undefined) return `${name} (${wanted}) was not found (${hint})`;
  const [, major = 0, minor = 0] = (version.exec(output) ?? []).map(Number);
  const enough = major > least[0] || (major === least[0] && minor >= least[1]);
  return enough ? '' : `${name} is version ${major}.${minor} but ${wanted} is needed (${hint})`;
}

/**
 * nvcc's names for the GPUs of this machine, without duplicates: `89-real` for compute capability 8.9.
 * Empty if there is no driver or no GPU.
 */
export async function presentArchitectures(): Promise<string[]> {
  const query = ['--query-gpu=compute_cap', '--format=csv,noheader'];
  const output = (await outputOf('nvidia-smi', query)) ?? '';
  const capabilities = [...output.matchAll(/^(\d+)\.(\d+)\s*$/gm)];
  return [...new Set(capabilities.map(([, major, minor]) => `${major}${minor}-real`))].sort();
}
