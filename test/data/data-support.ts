import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CountenanceError, type ErrorCode } from '../../lib/errors.js';

/** A directory for the tests of the enclosing `describe`, removed after them. */
export function temporaryDirectory(): { path: (...parts: string[]) => string } {
  let directory = '';
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'countenance-test-'));
  });
  after(async () => {
    await rm(directory, { recursive: true, force: true });
  });
  return { path: (...parts) => join(directory, ...parts) };
}

/** Expects a CountenanceError with this code whose message contains all of `parts`. */
export async function rejectsWith(
  work: Promise<unknown> | (() => unknown),
  code: ErrorCode,
  ...parts: string[]
): Promise<CountenanceError> {
  let thrown: unknown;
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    thrown = error;
  }
  assert.ok(
    thrown instanceof CountenanceError,
    `expected a CountenanceError, got ${String(thrown)}`,
  );
  assert.equal(thrown.code, code, thrown.message);
  for (const part of parts) {
    assert.ok(thrown.message.includes(part), `'${thrown.message}' should mention '${part}'`);
  }
  assert.ok(!thrown.message.includes('\n'), 'a message is one line');
  return thrown;
}

/** Everything an async iterable yields. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
