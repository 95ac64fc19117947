import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CountenanceError, type ErrorCode } from '../../lib/errors.js';
import type { WeightsFile } from '../../lib/weights/weights-file.js';

const fixtures = join(__dirname, '..', 'fixtures');

/** A file from `torch.save`, with the result of `torch.load` or what the file asks for. */
export interface PyTorchFixture {
  readonly name: string;
  readonly bytes: Buffer;
  readonly tensors?: Readonly<
    Record<string, { readonly shape: number[]; readonly values: (number | string)[] }>
  >;
  readonly asksFor?: string;
}

/** The files that make_pytorch_fixtures.py has stored for a version of PyTorch. */
export function pytorchFixtures(version: string): PyTorchFixture[] {
  const text = readFileSync(join(fixtures, `pytorch-${version}.json`), 'utf8');
  const { files } = JSON.parse(text) as { files: (PyTorchFixture & { bytes: string })[] };
  return files.map((file) => ({ ...file, bytes: Buffer.from(file.bytes, 'base64') }));
}

/** One stored file by its name. */
export function pytorchFixture(name: string, version = '1.13'): Buffer {
  return pytorchFixtures(version).find((file) => file.name === name)!.bytes;
}

/** Reads every tensor's values, so that a damaged one is found. */
export async function readAll(file: WeightsFile): Promise<Map<string, Float32Array>> {
  const all = new Map<string, Float32Array>();
  for (const [name, tensor] of file.tensors) all.set(name, await tensor.read());
  return all;
}

/**
 * Runs work on hostile input: it succeeds or throws one of these codes, within a limit of processor time,
 * which other programs on the machine do not use up.
 */
export async function survives(
  work: () => Promise<unknown>,
  codes: readonly ErrorCode[],
  milliseconds = 2000,
): Promise<ErrorCode | undefined> {
  const started = process.cpuUsage();
  let code: ErrorCode | undefined;
  try {
    await work();
  } catch (error) {
    if (!(error instanceof CountenanceError)) throw error;
    if (!codes.includes(error.code)) throw error;
    if (error.message.includes('\n'))
      throw new Error('a message of several lines', { cause: error });
    code = error.code;
  }
  const { user, system } = process.cpuUsage(started);
  const took = (user + system) / 1e3;
  if (took > milliseconds) throw new Error(`took ${took.toFixed()} ms`);
  return code;
}

/** Pythons that may have PyTorch: `COUNTENANCE_BENCH_PYTHON`, `PYTHON`, the system's. */
function pythons(): string[] {
  const { COUNTENANCE_BENCH_PYTHON: list = '', PYTHON: one = '' } = process.env;
  const all = [...list.split(':'), one, '/usr/bin/python3', 'python3'].filter(
    (path) => path !== '',
  );
  return [...new Set(all)];
}

/** The first Python that can import these modules, or why there is none. */
export function findPython(...modules: string[]): { path: string } | { missing: string } {
  for (const path of pythons()) {
    try {
      runPython(path, `import ${modules.join(', ')}`);
      return { path };
    } catch {
      // the next one
    }
  }
  return { missing: `no Python with ${modules.join(' and ')} (set PYTHON)` };
}

/** Every version of PyTorch that is installed, with a Python that has it. */
export function findTorches(): { version: string; path: string }[] {
  const found = new Map<string, string>();
  for (const path of pythons()) {
    try {
      const version = runPython(path, 'import torch; print(torch.__version__)').trim();
      if (!found.has(version)) found.set(version, path);
    } catch {
      // the next one
    }
  }
  return [...found].map(([version, path]) => ({ version, path }));
}

/** Runs a Python script and returns what it printed. */
export function runPython(path: string, script: string, ...args: string[]): string {
  return execFileSync(path, ['-c', script, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  });
}
