import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { CountenanceError } from '../../lib/errors.js';
import { errorLine, Output } from '../../lib/cli/output.js';
import { duration, ProgressLine, rate } from '../../lib/cli/progress.js';
import { table } from '../../lib/cli/table.js';
import { shellWord } from '../../lib/cli/train-log.js';
import { temporaryDirectory } from '../data/data-support.js';

/** A stream that keeps what is written. */
class Recorder {
  text = '';
  constructor(
    readonly isTTY: boolean,
    readonly columns = 30,
  ) {}
  write(text: string): void {
    this.text += text;
  }
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('command line: output', () => {
  it('redraws one line on a terminal, cut to its width, and takes it away', async () => {
    const stream = new Recorder(true);
    const progress = new ProgressLine(stream);
    progress.update(() => 'too soon');
    assert.equal(stream.text, '');
    await wait(110);
    progress.update(() => 'x'.repeat(100));
    assert.equal(stream.text, `\r\u001b[K${'x'.repeat(29)}`);
    progress.clear();
    progress.clear();
    assert.equal(stream.text, `\r\u001b[K${'x'.repeat(29)}\r\u001b[K`);
  });

  it('does not draw, nor work out what to draw, where nobody looks', async () => {
    const stream = new Recorder(false);
    const progress = new ProgressLine(stream);
    await wait(110);
    progress.update(() => assert.fail('not before ten seconds'));
    progress.clear();
    assert.equal(stream.text, '');
  });

  it('keeps results, notes and the progress line apart', async () => {
    const stdout = new Recorder(true);
    const stderr = new Recorder(true);
    const people = new Output({ stdout, stderr }, false);
    await wait(110);
    people.progress.update(() => '50 %');
    people.text('a result');
    people.record({ never: 'seen' });
    people.error(new CountenanceError('ERR_READ', 'one\ntwo'));
    assert.equal(stdout.text, 'a result\n');
    assert.equal(stderr.text, '\r\u001b[K50 %\r\u001b[Kcountenance: one; two (ERR_READ)\n');

    const programs = new Output({ stdout: new Recorder(false), stderr }, true);
    programs.text('never seen');
    assert.equal(errorLine(new TypeError('odd')), 'countenance: odd (ERR_INTERNAL)');
  });

  it('formats durations, rates, tables and words of a shell', () => {
    assert.deepEqual([7.4, 90, 3599.6, 3750, -3].map(duration), [
      '0:07',
      '1:30',
      '1:00:00',
      '1:02:30',
      '0:00',
    ]);
    assert.deepEqual([3.21, 1234.5].map(rate), ['3.2 images/s', '1235 images/s']);
    assert.equal(table(['a', 'bb'], [['ccc', '1']]), 'a    bb\nccc   1');
    assert.equal(shellWord('out/model-1'), 'out/model-1');
    assert.equal(shellWord("it's here"), `'it'\\''s here'`);
  });
});

describe('demonstration', function () {
  this.timeout(600_000);
  const temporary = temporaryDirectory();

  it('trains, tests, predicts, and ends with its accuracy', async () => {
    // Far too little to learn from: only the sequence of steps is tested. CI runs the real one.
    const out = temporary.path('demo');
    const root = join(__dirname, '../..');
    const argv = ['--faces', '70', '--epochs', '1', '--threads', '1', '--out', out];
    const child = spawn(
      process.execPath,
      ['-r', 'tsx/cjs', join(root, 'examples/demo.ts'), ...argv],
      { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.resume();
    const status = await new Promise((resolve) => child.on('close', resolve));
    assert.equal(status, 0, output);
    const lines = output.trimEnd().split('\n');
    assert.match(lines.at(-1)!, /^accuracy [01]\.\d\d on 280 unseen synthetic faces$/);
    assert.ok(output.includes('$ countenance train --data synthetic:70#train'));
    assert.ok(output.includes('Try next:'));
    const pictures = await readdir(join(out, 'faces'));
    assert.equal(pictures.length, 7);
    for (const name of pictures) assert.ok(output.includes(join(out, 'faces', name)), name);
    assert.ok((await readdir(join(out, 'model'))).includes('model.safetensors'));
  });
});
