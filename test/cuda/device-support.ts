import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { info } from '../../lib/index.js';

/**
 * Skips the tests of a `describe` unless the CUDA backend is the one on the emulator of its
 * kernels. `npm run test:cuda` builds that as a plugin and sets the environment. The emulated
 * machine has two GPUs of 1 GiB.
 */
export function needEmulatedGpu(): void {
  before(function () {
    if (info().cuda.devices[0]?.name === 'Emulated GPU') return;
    console.log('    SKIPPED: the emulated GPU was not built; npm run test:cuda builds it');
    this.skip();
  });
}

/** A folder for the tests of a `describe`. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'countenance-device-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Checks that `a` is close to the CPU's `b`. */
export function close(a: number, b: number, tolerance: number, what: string): void {
  assert.ok(Math.abs(a - b) <= tolerance * Math.abs(b), `${what}: ${a} but the CPU has ${b}`);
}
