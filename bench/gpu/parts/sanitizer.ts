import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { releaseFolder, run, type Context, type Outcome, type Part } from '../part.js';
import { parseTests } from '../programs.js';

/** What a tool of compute-sanitizer reported about one op's cases. */
export interface SanitizerRun {
  readonly tool: string;
  readonly test: string;
  readonly status: 'clean' | 'errors' | 'not run';
  readonly reason?: string;
}

export interface SanitizerResult {
  readonly runs: readonly SanitizerRun[];
}

const tools = ['memcheck', 'racecheck'];

/** The operations whose kernels differ most in how they use memory: enough for a few minutes. */
export const sanitizedTests = [
  'op_layer_norm',
  'op_batch_norm',
  'op_window_attention',
  'op_objective',
  'op_max_pool',
  'op_clip_gradient',
  'conv2d_odd_shapes',
  'linear_any_size',
];

/** A status that no test program uses. */
const foundErrors = 99;

function findSanitizer(): string | undefined {
  const { PATH = '', CUDA_HOME = '/usr/local/cuda' } = process.env;
  return [...PATH.split(delimiter), join(CUDA_HOME, 'bin')]
    .map((folder) => join(folder, 'compute-sanitizer'))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

async function check(
  context: Context,
  sanitizer: string,
  tool: string,
  test: string,
): Promise<SanitizerRun> {
  const refusal = context.budget.refusal(20);
  if (refusal !== undefined) return { tool, test, status: 'not run', reason: refusal };
  const program = join(releaseFolder, 'cuda_gpu_op_tests');
  const args = ['--tool', tool, '--error-exitcode', String(foundErrors), program, `=${test}`];
  const ended = await run(context, sanitizer, args, {
    limit: 120,
    log: `${tool}-${test}`,
    env: { COUNTENANCE_TEST_QUICK: '1' },
  });
  const summary = /(?:ERROR|RACECHECK) SUMMARY: (.*)/.exec(ended.stdout)?.[1];
  if (ended.status === foundErrors) {
    return { tool, test, status: 'errors', reason: summary ?? 'see its log' };
  }
  if (ended.status === 0 && summary !== undefined) return { tool, test, status: 'clean' };
  const failed = parseTests(ended.stdout).find(({ status }) => status === 'failed');
  const reason = ended.problem ?? failed?.reason ?? `it ended with status ${ended.status}`;
  return { tool, test, status: 'not run', reason };
}

async function sanitize(context: Context): Promise<Outcome<SanitizerResult>> {
  const sanitizer = findSanitizer();
  if (sanitizer === undefined) {
    return { status: 'not measured', reason: 'compute-sanitizer was not found' };
  }
  const runs: SanitizerRun[] = [];
  for (const test of sanitizedTests) {
    for (const tool of tools) {
      context.say(`${tool}: ${test}`);
      runs.push(await check(context, sanitizer, tool, test));
    }
  }
  const bad = runs.filter(({ status }) => status !== 'clean');
  const [first] = bad;
  if (runs.every(({ status }) => status === 'not run')) {
    return { status: 'not measured', reason: first?.reason ?? 'nothing ran' };
  }
  return {
    status: bad.length > 0 ? 'failed' : 'passed',
    ...(first && {
      reason: `${bad.length} of ${runs.length}, first ${first.tool} ${first.test}: ${first.reason}`,
    }),
    result: { runs },
  };
}

export const sanitizerPart: Part<SanitizerResult> = {
  name: 'sanitizer',
  what: `compute-sanitizer: ${tools.join(' and ')} over a selection of operations`,
  seconds: 180,
  run: sanitize,
};
