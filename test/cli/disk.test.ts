import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Model } from '../../lib/model/model.js';
import { makeModel } from '../api-support.js';
import { startChild } from './support.js';
import { temporaryDirectory } from '../data/data-support.js';

/** Files of a directory and its subdirectories, with their content. */
async function contents(directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    found[file] = createHash('sha256')
      .update(await readFile(file))
      .digest('hex');
  }
  return found;
}

describe('command line: a full disk', function () {
  this.timeout(300_000);
  // Hooks run in the order of their registration: mounts are removed before their directory.
  after(() => {
    if (mounted) execFileSync('umount', [disk]);
  });
  const temporary = temporaryDirectory();
  let disk: string;
  let mounted = false;

  before(async () => {
    disk = temporary.path('disk');
    await mkdir(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=60m', 'tmpfs', disk], { stdio: 'ignore' });
      mounted = true;
    } catch {
      console.log('    skipped: mounting a small tmpfs needs the right to mount');
    }
  });
  beforeEach(function () {
    if (!mounted) this.skip();
  });

  /** A model takes 45 MB, its checkpoint twice as much. */
  async function trainFails(out: string): Promise<void> {
    const { status, signal, stderr } = await startChild(
      ...['train', '--data', 'synthetic:28', '--validation', 'synthetic:14#val'],
      ...[
        '--size',
        '32',
        '--epochs',
        '1',
        '--batch-size',
        '14',
        '--text',
        'synthetic',
        '--out',
        out,
      ],
    ).end;
    assert.deepEqual({ status, signal }, { status: 1, signal: null }, stderr);
    const errors = stderr.split('\n').filter((line) => line.startsWith('countenance: '));
    assert.equal(errors.length, 1, stderr);
    assert.match(errors[0]!, /Could not write '.*': no space left on the device \(ERR_WRITE\)$/);
    assert.ok(errors[0]!.includes(out), errors[0]);
    assert.doesNotMatch(stderr, /^ +at /m);
  }

  it('ends training with one line and leaves nothing half-written', async () => {
    const filler = join(disk, 'filler');
    await writeFile(filler, new Uint8Array(40e6));
    const out = join(disk, 'new');
    await trainFails(out);
    assert.deepEqual(await contents(out), {});
    await rm(filler);
    await rm(out, { recursive: true, force: true });
  });

  it('keeps the model that was there', async () => {
    const before = temporary.path('before');
    const model = await makeModel();
    await model.save(before);
    model.close();
    const out = join(disk, 'model');
    await cp(before, out, { recursive: true });
    const whole = await contents(out);
    await trainFails(out);
    assert.deepEqual(await contents(out), whole);
    await using again = await Model.load(out, { device: 'cpu' });
    assert.equal(again.config.inputSize, 32);
  });
});
