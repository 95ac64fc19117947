import assert from 'node:assert/strict';
import { openSync, closeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import sharp from 'sharp';
import { readCheckpointState } from '../../lib/train/checkpoint.js';
import { makeModel } from '../api-support.js';
import { temporaryDirectory } from '../data/data-support.js';
import { command, startChild } from './support.js';

const root = join(__dirname, '../..');

/** Runs the command, closes its standard output after the first piece, as `| head -1` does. */
async function readOnce(...argv: string[]): Promise<{ status: number | null; stderr: string }> {
  const { process: child, end } = startChild(...argv);
  child.stdout!.once('data', () => child.stdout!.destroy());
  const { status, stderr } = await end;
  return { status, stderr };
}

describe('command line: where output ends', function () {
  this.timeout(300_000);
  const temporary = temporaryDirectory();
  let model: string;
  let face: string;

  before(async () => {
    model = temporary.path('model');
    face = temporary.path('face.png');
    const made = await makeModel();
    await made.save(model);
    made.close();
    const noise = { type: 'gaussian', mean: 128, sigma: 30 } as const;
    const create = { width: 32, height: 32, channels: 3, background: '#888', noise } as const;
    await sharp({ create }).png().toFile(face);
  });

  const training = [
    ...['train', '--data', 'synthetic:28', '--validation', 'synthetic:7#valid', '--size', '32'],
    ...['--epochs', '3', '--batch-size', '7', '--text', 'synthetic', '--json', '--out'],
  ];

  it('training goes on to its end, and says so', async () => {
    const out = temporary.path('closed');
    const { status, stderr } = await readOnce(...training, out);
    assert.equal(status, 0, stderr);
    assert.ok(stderr.includes('standard output is closed; training goes on\n'), stderr);
    const { progress } = await readCheckpointState(join(out, 'last'));
    assert.deepEqual([progress.epoch, progress.step], [3, 12]);

    // Going on from the end is no failure, but does not look like a training either.
    const again = await command('train', '--resume', out);
    assert.equal(again.status, 0, again.stderr);
    assert.match(again.stderr, /nothing was left to train: the run .* is complete\n/);
  });

  it('predicting ends, with the status of a broken pipe', async () => {
    const files = Array.from({ length: 200 }, () => face);
    const options = ['--model', model, '--batch-size', '1', '--json'];
    const { status, stderr } = await readOnce('predict', ...options, ...files);
    assert.equal(status, 141, stderr);
    assert.equal(stderr, '');
  });

  it('checking data sets ends before the next one', async () => {
    const specs = Array.from({ length: 50 }, (_, i) => `synthetic:14#${i}`);
    const { status, stderr } = await readOnce('data', 'info', '--json', ...specs);
    assert.equal(status, 141, stderr);
  });

  it('a full disk is an error of one line', async function () {
    if (process.platform !== 'linux') return this.skip();
    const full = openSync('/dev/full', 'w');
    const main = ['-r', 'tsx/cjs', join(root, 'lib/cli/main.ts')];
    const child = spawn(process.execPath, [...main, 'predict', '--model', model, face], {
      cwd: root,
      stdio: ['ignore', full, 'pipe'],
    });
    closeSync(full);
    let stderr = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const status = await new Promise((resolve) => child.on('close', resolve));
    assert.equal(status, 1);
    assert.match(stderr, /^countenance: Could not write standard output: [^\n]+ \(ERR_WRITE\)\n$/);
  });

  it('a command that waits for ever is a failure, not a success without a word', async () => {
    const detector = temporary.path('silent.mjs');
    await writeFile(detector, 'export default { detect: () => new Promise(() => {}) };\n');
    const argv = ['predict', '--model', model, '--faces', detector, face];
    const { status, stdout, stderr } = await startChild(...argv).end;
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^countenance: The command cannot finish: [^\n]+ \(ERR_INTERNAL\)\n$/);
  });
});
