import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Contestant } from './contestant.js';
import { nodeContestant } from './contestants.js';
import type { Comparison, Measurement } from './measure.js';
import { root } from './paths.js';
import type { Scenario } from './scenarios.js';

/** countenance as it was at a commit, built in a folder of its own. */
export interface BuiltCommit {
  /** The first characters of its hash. */
  readonly name: string;
  readonly folder: string;
}

function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; input?: Buffer } = {},
): Buffer {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    maxBuffer: 1 << 30,
    ...options,
  });
  if (status === 0) return stdout;
  const output = error?.message ?? `${stdout.toString()}${stderr.toString()}`;
  const reason = output.trim().split('\n').slice(-20).join('\n');
  throw new Error(`${[command, ...args].join(' ')} failed: ${reason}`);
}

/**
 * Builds a commit in build/against, or finds it built there.
 *
 * @throws Error if there is no such commit, or if it does not build
 */
export function buildCommit(revision: string, progress: (text: string) => void): BuiltCommit {
  const hash = run('git', ['rev-parse', '--verify', '--quiet', `${revision}^{commit}`]);
  const name = hash.toString().slice(0, 10);
  const folder = join(root, 'build', 'against', name);
  if (existsSync(folder)) return { name, folder };
  progress(`building ${name}`);
  const unfinished = `${folder}.part`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  run('tar', ['-x'], { cwd: unfinished, input: run('git', ['archive', name]) });
  const lockOf = (path: string): string => readFileSync(join(path, 'package-lock.json'), 'utf8');
  if (lockOf(unfinished) === lockOf(root)) {
    symlinkSync(join(root, 'node_modules'), join(unfinished, 'node_modules'));
  }
  // CMake's build folder knows its own path: the move comes first, and is taken back if the build fails.
  renameSync(unfinished, folder);
  try {
    const env = { ...process.env, CCACHE_BASEDIR: folder };
    run(process.execPath, ['tools/start.mjs', 'build:native'], { cwd: folder, env });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return { name, folder };
}

/** A commit's side of the benchmark, in its own process. */
export function commitContestant(commit: BuiltCommit, scenario: Scenario): Contestant {
  const args = ['-r', 'tsx/cjs', join(commit.folder, 'bench/ours.ts')];
  return nodeContestant(`countenance at ${commit.name}`, args, scenario);
}

/** The loss of speed that is taken for the machine's noise. */
const tolerated = 0.02;

/** Whether a comparison shows that we became slower: by more than noise in the middle half of the rounds. */
export function isSlower(comparison: Comparison | null): boolean {
  if (!comparison) return false;
  const { median, q3 } = comparison.ratio;
  return median < 1 - tolerated && q3 < 1;
}

/** One line that says where we became slower than a commit, if anywhere. */
export function regressionLine(commit: BuiltCommit, measurements: readonly Measurement[]): string {
  const slower = measurements.filter(({ comparison }) => isSlower(comparison));
  if (slower.length === 0) return `nowhere slower than ${commit.name}`;
  const places = slower.map(
    ({ scenario, comparison }) => `${scenario.id} (${comparison!.ratio.median.toFixed(2)})`,
  );
  return `slower than ${commit.name}: ${places.join(', ')}`;
}
