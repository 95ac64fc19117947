import { join } from 'node:path';
import { root } from '../paths.js';
import type { Budget } from './budget.js';
import type { Status } from './fragment.js';
import type { Platform } from './platform.js';
import { noGpuStatus, runProgram, type Ended } from './programs.js';

/** What a part of a run can use. */
export interface Context {
  readonly platform: Platform;
  readonly budget: Budget;
  /** Folder of the build: build/gpu. */
  readonly build: string;
  /** Folder for files worth keeping besides the figures. */
  readonly out: string;
  /** For this card only, or everything the package ships. */
  readonly allArchitectures: boolean;
  readonly say: (text: string) => void;
}

/** The result of a part. */
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
  /** Estimated duration in seconds. */
  readonly seconds: number;
  /** Whether the files it makes for other parts are present; absent if it makes none. */
  readonly isHere?: () => boolean;
  run(context: Context): Promise<Outcome<Result>>;
}

/** Time reserved for the tables at the end. */
const reserve = 5;

/** Where the build puts the plugin, the addon and the test programs. */
export const releaseFolder = join(root, 'build/gpu/Release');

/** Runs a program for at most `limit` seconds, and no longer than the budget allows. */
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

/** Why a program did not run to its end; undefined if it did, whatever its verdict. */
export function failureToRun({ status, problem, stdout }: Ended): string | undefined {
  if (status === noGpuStatus) return stdout.trim().split('\n').at(-1);
  return problem;
}
