import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { finished } from 'node:stream/promises';
import { root } from '../paths.js';

/** How a program ended. */
export interface Ended {
  /** Its exit status; null if a signal ended it or it could not be started. */
  readonly status: number | null;
  /** Why it did not end by itself: a signal, the time limit, a missing file. */
  readonly problem?: string;
  readonly stdout: string;
  readonly seconds: number;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Seconds after which it is killed. */
  readonly limit: number;
  /** File that receives both of its outputs. */
  readonly log: string;
}

/** Running process groups; they end with this process. */
const running = new Set<number>();

function endGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

process.once('exit', () => running.forEach(endGroup));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

/** Runs a program in the package's folder to its end. Never rejects. */
export async function runProgram(
  command: string,
  args: readonly string[],
  { env = {}, limit, log }: RunOptions,
): Promise<Ended> {
  const started = performance.now();
  mkdirSync(dirname(log), { recursive: true });
  const file = createWriteStream(log);
  file.write(`$ ${[command, ...args].join(' ')}\n`);
  // Its own process group, so that a build's compilers end with it.
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  if (child.pid !== undefined) running.add(child.pid);
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stdout.pipe(file, { end: false });
  child.stderr.pipe(file, { end: false });
  let problem: string | undefined;
  const timer = setTimeout(() => {
    problem = `stopped after ${Math.round(limit)} s`;
    if (child.pid !== undefined) endGroup(child.pid);
  }, limit * 1e3);
  const status = await new Promise<number | null>((resolve) => {
    child.on('error', (error) => {
      problem = error.message;
      resolve(null);
    });
    child.on('close', (code, signal) => {
      if (signal) problem ??= `ended by ${signal}`;
      resolve(code);
    });
  });
  clearTimeout(timer);
  if (child.pid !== undefined) running.delete(child.pid);
  file.end();
  await finished(file);
  const seconds = (performance.now() - started) / 1e3;
  return { status, stdout, seconds, ...(problem !== undefined && { problem }) };
}

/** Exit status of a test program that finds no GPU. */
export const noGpuStatus = 77;

/** A native test program's report on one test. */
export interface TestOutcome {
  readonly name: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  /** The reason of a skipped one, the first complaint of a failed one. */
  readonly reason?: string;
  /** The largest errors it found, by backend or quantity. */
  readonly errors: Readonly<Record<string, number>>;
}

const words = { ok: 'passed', FAIL: 'failed', skip: 'skipped' } as const;

/** Reads the output of a program of test/native/harness/harness.h. */
export function parseTests(output: string): TestOutcome[] {
  const tests: TestOutcome[] = [];
  let complaint: string | undefined;
  for (const line of output.split('\n')) {
    const outcome = /^(?: {2}(ok)|(FAIL)|(skip)) (\w+)(?:: (.*))?/.exec(line);
    const errors = /^ {5}largest error: (.*)/.exec(line)?.[1];
    if (outcome) {
      const word = (outcome[1] ?? outcome[2] ?? outcome[3]) as keyof typeof words;
      const reason = word === 'FAIL' ? complaint : outcome[5];
      const told = reason === undefined ? {} : { reason };
      tests.push({ name: outcome[4]!, status: words[word], ...told, errors: {} });
      complaint = undefined;
    } else if (errors !== undefined && tests.length > 0) {
      tests.push({ ...tests.pop()!, errors: parseErrors(errors) });
    } else if (/^ {4}\S/.test(line)) {
      complaint ??= line.trim();
    }
  }
  return tests;
}

/** `fp32 1.2e-07, bf16 nan`. */
function parseErrors(text: string): Record<string, number> {
  const pairs = [...text.matchAll(/([^,]+?) (-?nan|-?inf|[-+.\de]+)(?:, |$)/g)];
  // JSON has no infinity: an unbounded error becomes the largest number.
  const number = (value: string) => (/nan|inf/.test(value) ? Number.MAX_VALUE : Number(value));
  return Object.fromEntries(pairs.map(([, name, value]) => [name!.trim(), number(value!)]));
}
