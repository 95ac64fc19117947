import type { Context, Outcome, Part } from '../part.js';
import type { TestOutcome } from '../programs.js';
import { runTests } from './parity.js';

export interface GoldenResult {
  /** The recorded runs in both precisions, with their largest relative errors by quantity. */
  readonly runs: readonly TestOutcome[];
}

async function golden(context: Context): Promise<Outcome<GoldenResult>> {
  const { tests, problem } = await runTests(context, 'cuda_gpu_golden_tests', {
    limit: 300,
    log: 'golden',
  });
  if (tests.length === 0) return { status: 'not measured', reason: problem ?? 'no test ran' };
  const failed = tests.filter(({ status }) => status === 'failed');
  return {
    status: failed.length > 0 ? 'failed' : 'passed',
    ...(failed.length > 0 && { reason: failed.map(({ name }) => name).join(', ') }),
    result: { runs: tests },
  };
}

export const goldenPart: Part<GoldenResult> = {
  name: 'golden',
  what: "the reference's recorded runs, float32 and bf16",
  seconds: 60,
  run: golden,
};
