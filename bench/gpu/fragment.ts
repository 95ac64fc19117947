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

// What a part of a run leaves behind: one JSON file, so that parts can run on different days.

/**
 * - `passed`, `failed`: it ran, and what it checks holds or not
 * - `not measured`: it could not run, `reason` says why
 */
export type Status = 'passed' | 'failed' | 'not measured';

/** The outcome of a part, or of one scenario of the part `bench`. */
export interface Fragment<Result = unknown> {
  /** Such as `parity`, or `bench/` with a case behind it (`train resnet18@112 b64`). */
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

  /** Keeps an outcome; a figure that was measured is not lost to a later attempt that could not run. */
  write(fragment: Fragment): void {
    const before = this.read(fragment.name);
    if (fragment.status === 'not measured' && before && before.status !== 'not measured') return;
    const file = this.#file(fragment.name);
    mkdirSync(dirname(file), { recursive: true });
    // Whole or absent: a run may be ended at any moment.
    writeFileSync(`${file}.part`, `${JSON.stringify(fragment, null, 1)}\n`);
    renameSync(`${file}.part`, file);
  }

  /** Takes over the fragments of another folder that are newer, or missing here. */
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
