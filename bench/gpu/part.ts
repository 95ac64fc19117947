import { join } from 'node:path';
import { root } from '../paths.js';
import type { Budget } from './budget.js';
import type { Status } from './fragment.js';
import type { Platform } from './platform.js';
import { noGpuStatus, runProgram, type Ended } from './programs.js';

/** What a part of a run may use. */
export interface Context {
  readonly platform: Platform;
  readonly budget: Budget;
  /** Folder of the build: build/gpu. */
  readonly build: string;
  /** Folder for what is worth keeping beside the figures. */
  readonly out: string;
  /** For the card alone, or everything the package ships. */
  readonly allArchitectures: boolean;
  readonly say: (text: string) => void;
}

/** What a part found. */
export interface Outcome<Result = unknown> {
  readonly status: Status;
  readonly reason?: string;
  readonly result?: Result;
}

/** A step of the verification. */
export interface Part<Result = unknown> {
  readonly name: string;
  /** One line for people. */
  readonly what: string;
  /** About how long it takes, in seconds. */
  readonly seconds: number;
  /** Whether what it made for the other parts is here; absent where it makes nothing. */
  readonly isHere?: () => boolean;
  run(context: Context): Promise<Outcome<Result>>;
}

/** Time left for the tables at the end. */
const reserve = 5;

/** Where the build puts the plugin, the addon and the test programs. */
export const releaseFolder = join(root, 'build/gpu/Release');

/** Runs a program for at most `limit` seconds and no longer than the budget allows. */
export function run(
  { budget, build }: Context,
  command: string,
  args: readonly string[],
  { limit, log, env = {} }: { limit: number; log: string; env?: Record<string, string> },
): Promise<Ended> {
  return runProgram(command, args, {
    env,
    limit: Math.max(1, Math.min(limit, budget.left - reserve)),
    log: join(build, 'logs', `${log}.log`),
  });
}

/** Why a program did not run to its end; undefined where it did, with whatever verdict. */
export function failureToRun({ status, problem, stdout }: Ended): string | undefined {
  if (status === noGpuStatus) return stdout.trim().split('\n').at(-1);
  return problem;
}
