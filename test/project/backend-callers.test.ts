import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const native = join(__dirname, '../../native');

/** The sources below native/ that use a backend: the declarations themselves do not count. */
const callers = readdirSync(native, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(cpp|cu|h)$/.test(name) && !/backend(_class)?\.h$/.test(name))
  .map((name) => readFileSync(join(native, name), 'utf8'));

describe('operations of the backend', () => {
  const declared = [
    ...readFileSync(join(native, 'backend/backend.h'), 'utf8').matchAll(
      /^ {2}virtual [^~;(]*?\b(\w+)\(/gm,
    ),
  ].map((match) => match[1]!);

  it('are found in backend.h', () => {
    assert.ok(declared.includes('conv2d_forward') && declared.includes('linear_workspace'));
    assert.ok(declared.length > 50);
  });

  it('are each called by production code, not by tests alone', () => {
    // A call, not a definition: `backend.name(`, `backend->name(` or, within a backend, `  name(`.
    const uncalled = declared.filter(
      (name) =>
        !callers.some((text) => new RegExp(`(\\.|->|^ +|= |return )${name}\\(`, 'm').test(text)),
    );
    assert.deepEqual(uncalled, []);
  });
});
