import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Platform } from './platform.js';

// The outcome of a part of a run: one JSON file, so that parts can run on different days.

/**
 * - `passed`, `failed`: it ran, and its checks passed or did not
 * - `not measured`: it could not run; `reason` says why
 */
export type Status = 'passed' | 'failed' | 'not measured';

/** The outcome of a part, or of one scenario of the part `bench`. */
export interface Fragment<Result = unknown> {
  /** Such as `parity`, or `bench/` followed by a case (`train resnet18@112 b64`). */
  readonly name: string;
  readonly status: Status;
  /** Why it failed or was not measured. */
  readonly reason?: string;
  /** ISO date and time of its start. */
  readonly date: string;
  /** How long it took. */
  readonly seconds: number;
  readonly platform: Platform;
  readonly result?: Result;
}

/** A folder of fragments. */
export class Fragments {
  constructor(readonly folder: string) {}

  read<Result>(name: string): Fragment<Result> | undefined {
    const file = this.#file(name);
    return existsSync(file)
      ? (JSON.parse(readFileSync(file, 'utf8')) as Fragment<Result>)
      : undefined;
  }

  /** Keeps an outcome; a later attempt that could not run does not replace a measured figure. */
  write(fragment: Fragment): void {
    const before = this.read(fragment.name);
    if (fragment.status === 'not measured' && before && before.status !== 'not measured') return;
    const file = this.#file(fragment.name);
    mkdirSync(dirname(file), { recursive: true });
    // Complete or absent: a run may be ended at any moment.
    writeFileSync(`${file}.part`, `${JSON.stringify(fragment, null, 1)}\n`);
    renameSync(`${file}.part`, file);
  }

  /** Copies fragments from another folder if they are newer, or missing here. */
  merge(folder: string): void {
    for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
      if (!entry.endsWith('.json')) continue;
      const fragment = parseFragment(readFileSync(join(folder, entry), 'utf8'));
      if (!fragment) continue;
      const here = this.read(fragment.name);
      if (!here || here.status === 'not measured' || here.date < fragment.date) {
        this.write(fragment);
      }
    }
  }

  #file(name: string): string {
    return join(this.folder, `${name.replace(/[^\w@/.-]+/g, '-')}.json`);
  }
}

/** Undefined for JSON that is something else, such as a merged report. */
function parseFragment(text: string): Fragment | undefined {
  const value = JSON.parse(text) as Partial<Fragment> | null;
  return value && typeof value.name === 'string' && typeof value.status === 'string'
    ? (value as Fragment)
    : undefined;
}
