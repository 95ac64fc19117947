import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  failureToRun,
  releaseFolder,
  run,
  type Context,
  type Outcome,
  type Part,
} from '../part.js';
import { noGpuStatus, parseTests, type TestOutcome } from '../programs.js';

export interface ParityResult {
  /** Allowed normalised errors. */
  readonly bounds: { readonly fp32: number; readonly bf16: number };
  /** The op cases, with the largest normalised error of each precision. */
  readonly operations: readonly TestOutcome[];
  /** The backend's own tests and those of the PTX wrappers. */
  readonly others: readonly TestOutcome[];
  /** Whether the PTX wrappers' results were recorded for the emulator's tests. */
  readonly recorded: boolean;
}

/** The same as in test/cuda/gpu/tested_backends.cpp. */
const bounds = { fp32: 1e-5, bf16: 1e-2 };

/** The names of a test program's tests. */
async function testsOf(context: Context, program: string): Promise<string[]> {
  const { stdout } = await run(context, program, ['--list'], { limit: 60, log: 'list' });
  return stdout.split('\n').filter(Boolean);
}

/**
 * Runs all tests of a program, then each that failed or was never reached in its own process: an error on
 * the GPU breaks everything after it in the same process.
 */
export async function runTests(
  context: Context,
  name: string,
  { limit, log }: { limit: number; log: string },
): Promise<{ tests: TestOutcome[]; problem?: string }> {
  const program = join(releaseFolder, name);
  const whole = await run(context, program, [], { limit, log });
  const problem = failureToRun(whole);
  // If it cannot be started or finds no GPU, it has no list of tests either.
  if (whole.status === noGpuStatus || whole.stdout === '') {
    return { tests: [], problem: problem ?? 'it printed nothing' };
  }
  const names = await testsOf(context, program);
  const found = new Map(parseTests(whole.stdout).map((test) => [test.name, test]));
  for (const test of names) {
    if (found.has(test) && found.get(test)!.status !== 'failed') continue;
    const refusal = context.budget.refusal(20);
    if (refusal !== undefined) {
      const before = found.get(test);
      found.set(test, before ?? { name: test, status: 'skipped', reason: refusal, errors: {} });
      continue;
    }
    const alone = await run(context, program, [`=${test}`], { limit, log: `${log}-${test}` });
    const outcome = parseTests(alone.stdout).find((other) => other.name === test);
    const reason = failureToRun(alone) ?? `it ended with status ${alone.status}`;
    found.set(test, outcome ?? { name: test, status: 'failed', reason, errors: {} });
  }
  return { tests: names.map((test) => found.get(test)!) };
}

/** Keeps the results of the PTX wrappers, for test/cuda/golden. */
async function record(context: Context): Promise<boolean> {
  const program = join(releaseFolder, 'record_ptx');
  const { status, stdout } = await run(context, program, [], { limit: 60, log: 'record-ptx' });
  if (status !== 0) return false;
  mkdirSync(context.out, { recursive: true });
  writeFileSync(join(context.out, 'ptx.txt'), stdout);
  return true;
}

async function parity(context: Context): Promise<Outcome<ParityResult>> {
  const ops = await runTests(context, 'cuda_gpu_op_tests', { limit: 400, log: 'op-tests' });
  if (ops.tests.length === 0) {
    return { status: 'not measured', reason: ops.problem ?? 'no test ran' };
  }
  const others = await runTests(context, 'cuda_gpu_tests', { limit: 200, log: 'gpu-tests' });
  const recorded = await record(context);
  const all = [...ops.tests, ...others.tests];
  const failed = all.filter(({ status }) => status === 'failed');
  const problems = [
    ...(failed.length > 0
      ? [`${failed.length} of ${all.length}: ${failed.map(({ name }) => name).join(', ')}`]
      : []),
    ...(others.problem === undefined ? [] : [`cuda_gpu_tests: ${others.problem}`]),
    ...(recorded ? [] : ['record_ptx failed']),
  ];
  return {
    status: problems.length > 0 ? 'failed' : 'passed',
    ...(problems.length > 0 && { reason: problems.join('; ') }),
    result: { bounds, operations: ops.tests, others: others.tests, recorded },
  };
}

export const parityPart: Part<ParityResult> = {
  name: 'parity',
  what: 'every operation against the CPU and its reference, the PTX wrappers, the memory',
  seconds: 90,
  run: parity,
};
