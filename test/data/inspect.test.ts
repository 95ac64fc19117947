import assert from 'node:assert/strict';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectDataset } from '../../lib/data/inspect.js';
import { splitsOf } from '../../lib/data/registry.js';
import { SizeCounter } from '../../lib/data/sizes.js';
import { command, jsonLines, startChild } from '../cli/support.js';
import { rejectsWith, temporaryDirectory } from './data-support.js';
import { writeBelow, writeFace } from './synthetic-files.js';

describe('inspection of data sets', function () {
  this.timeout(300_000);
  const temporary = temporaryDirectory();
  const faces = (...path: string[]): string => temporary.path('faces', ...path);
  let spec: string;

  before(async () => {
    spec = `folder:${faces()}`;
    for (let i = 0; i < 3; i++) {
      await writeFace(faces('train', 'fear', `${i}.png`), 'fear', i);
      await writeFace(faces('train', 'neutral', `${i}.png`), 'neutral', i);
    }
    await writeFace(faces('val', 'fear', 'other.png'), 'fear', 9);
    await mkdir(faces('val', 'neutral'));
    await copyFile(faces('train', 'fear', '1.png'), faces('val', 'fear', 'leak.png'));
    await copyFile(faces('train', 'fear', '2.png'), faces('train', 'neutral', 'wrong.png'));
    await writeBelow(faces('train', 'fear', 'cut.jpg'), 'no picture');
  });

  it('tells counts by class and split, sizes, duplicates and problems', async () => {
    const progress: number[] = [];
    const info = await inspectDataset(spec, {
      onProgress: ({ done, total }) => {
        assert.equal(total, 10);
        progress.push(done);
      },
    });
    assert.deepEqual(
      progress,
      Array.from({ length: 10 }, (_, i) => i + 1),
    );
    assert.deepEqual(info.classes, ['fear', 'neutral']);
    assert.deepEqual(info.splits, [
      { name: 'train', size: 8, classCounts: { fear: 4, neutral: 4 }, notes: [] },
      { name: 'val', size: 2, classCounts: { fear: 2, neutral: 0 }, notes: [] },
    ]);
    assert.ok(info.sizes!.smallest.width >= 72 && info.sizes!.largest.width <= 120);
    assert.deepEqual(info.duplicates, [
      {
        images: [
          { split: 'train', file: faces('train', 'fear', '1.png'), label: 'fear' },
          { split: 'val', file: faces('val', 'fear', 'leak.png'), label: 'fear' },
        ],
        acrossSplits: true,
        differentLabels: false,
      },
      {
        images: [
          { split: 'train', file: faces('train', 'fear', '2.png'), label: 'fear' },
          { split: 'train', file: faces('train', 'neutral', 'wrong.png'), label: 'neutral' },
        ],
        acrossSplits: false,
        differentLabels: true,
      },
    ]);
    const [problem] = info.problems;
    assert.equal(info.problems.length, 1);
    assert.deepEqual(
      [problem!.kind, problem!.split, problem!.code],
      ['unreadable', 'train', 'ERR_IMAGE_DECODE'],
    );
    assert.ok(problem!.message.includes(faces('train', 'fear', 'cut.jpg')));
  });

  it('looks at one split, or at a set without splits', async () => {
    const one = await inspectDataset(`${spec}#val`);
    assert.deepEqual([one.splits.length, one.splits[0]!.name], [1, 'val']);
    assert.deepEqual([one.duplicates, one.problems], [[], []]);
    const drawn = await inspectDataset('synthetic:9');
    assert.deepEqual([drawn.splits[0]!.name, drawn.splits[0]!.size], [null, 9]);
  });

  it('collects missing files and wrong labels, and splits that are not there', async () => {
    const raf = temporary.path('raf');
    const lines = ['train_1.jpg 1', 'train_2.jpg 9', 'train_3.jpg 2', 'test_1.jpg 3'];
    await writeBelow(join(raf, 'list_patition_label.txt'), lines.join('\n'));
    for (const name of ['train_1', 'train_2', 'test_1']) {
      await writeFace(join(raf, 'Image', 'aligned', `${name}_aligned.jpg`), 'fear', 1);
    }
    const info = await inspectDataset(`rafdb:${raf}`);
    assert.deepEqual(
      info.splits.map(({ name, size }) => [name, size]),
      [
        ['train', 1],
        ['test', 1],
      ],
    );
    assert.deepEqual(
      info.problems.map(({ kind, split }) => [kind, split]),
      [
        ['label', 'train'],
        ['missing', 'train'],
      ],
    );
    assert.equal(info.duplicates[0]!.acrossSplits, true);

    const fer = temporary.path('fer');
    await writeFace(join(fer, 'FER2013Train', 'a.png'), 'fear', 1);
    const votes = '"(0, 0, 48, 48)",0,9,0,0,0,0,0,0,0,0';
    const labels = [`a.png,${votes}`, `b.png,${votes}`];
    await writeBelow(join(fer, 'FER2013Train', 'label.csv'), labels.join('\n'));
    const part = await inspectDataset(`ferplus:${fer}#mode=crossentropy`);
    assert.deepEqual([part.splits.length, part.splits[0]!.size], [1, 1]);
    assert.deepEqual(
      part.problems.map(({ kind, split }) => [kind, split]),
      [
        ['missing', 'train'],
        ['split', 'valid'],
        ['split', 'test'],
      ],
    );
    const csv = temporary.path('list.csv');
    await writeBelow(csv, `path,label,split\nnone.png,fear,train\nraf/x.png,anger,val\n`);
    const list = await inspectDataset(`csv:${csv}`);
    assert.deepEqual(
      list.problems.map(({ kind, split }) => [kind, split]),
      [
        ['missing', 'train'],
        ['missing', 'valid'],
      ],
    );
    assert.equal(list.sizes, null);
  });

  it('finds that there is no image at all', async () => {
    await mkdir(temporary.path('none', 'fear'), { recursive: true });
    const { problems, splits } = await inspectDataset(`folder:${temporary.path('none')}`);
    assert.deepEqual(splits[0]!.size, 0);
    assert.deepEqual(
      problems.map(({ kind, code }) => [kind, code]),
      [['split', 'ERR_DATASET_EMPTY']],
    );
    assert.ok(problems[0]!.message.includes('contains no images'));
  });

  it('knows the splits of a specification', async () => {
    assert.deepEqual(await splitsOf('ferplus:x#mode=majority'), [
      { name: 'train', spec: 'ferplus:x#train,mode=majority' },
      { name: 'valid', spec: 'ferplus:x#valid,mode=majority' },
      { name: 'test', spec: 'ferplus:x#test,mode=majority' },
    ]);
    assert.deepEqual(await splitsOf('ckplus:x'), [{ name: null, spec: 'ckplus:x' }]);
    const csv = await writeBelow(temporary.path('plain.csv'), 'path,label\na.png,fear\n');
    assert.deepEqual(await splitsOf(`csv:${csv}`), [{ name: null, spec: `csv:${csv}` }]);
  });

  it('stops when told to, and says what cannot be opened', async () => {
    const signal = AbortSignal.abort();
    await rejectsWith(inspectDataset(spec, { signal }), 'ERR_ABORTED');
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    const work = inspectDataset(spec, { signal: controller.signal, onProgress });
    await rejectsWith(work, 'ERR_ABORTED', 'inspection');
    await rejectsWith(inspectDataset('folder:nowhere'), 'ERR_FILE_NOT_FOUND', 'nowhere');
    await rejectsWith(inspectDataset('rafdb:nowhere'), 'ERR_FILE_NOT_FOUND', 'nowhere');
    await rejectsWith(inspectDataset(spec, { concurrency: 0 }), 'ERR_INVALID_ARGUMENT');
  });

  it('counts sizes', () => {
    const counter = new SizeCounter();
    assert.equal(counter.result(), null);
    for (const [width, height] of [
      [4, 4],
      [2, 2],
      [9, 3],
      [4, 4],
      [8, 8],
    ] as const) {
      counter.add(width, height);
    }
    assert.deepEqual(counter.result(), {
      smallest: { width: 2, height: 2 },
      median: { width: 4, height: 4 },
      largest: { width: 8, height: 8 },
      distinct: 4,
      mostCommon: { width: 4, height: 4, count: 2 },
    });
  });

  describe('on the command line', () => {
    it('prints tables for people, and exits with 1 where something is wrong', async () => {
      const { status, stdout, stderr } = await command('data', 'info', spec);
      assert.deepEqual({ status, stderr }, { status: 1, stderr: '' });
      assert.match(stdout, /class +train +val\nfear +4 +2\nneutral +4 +0\nall +8 +2\n/);
      assert.match(stdout, /2 images are there more than once: 1 in several splits, 1 with diff/);
      assert.match(stdout, /1\.png \(train, fear\) = .*leak\.png \(val, fear\)\n/);
      assert.match(stdout, /\n1 problems\n {2}unreadable, train: Image '.*cut\.jpg'/);
      const short = await command('data', 'info', spec, '--list', '1');
      assert.match(short.stdout, /\n {2}\.\.\. and 1 more\n/);
      const good = await command('data', 'info', `${spec}#val`, 'synthetic:3');
      assert.equal(good.status, 0);
      assert.equal(good.stdout.split('nothing else is wrong').length, 3);
      assert.match(good.stdout, /no image of neutral/);
      const full = await command('data', 'info', 'synthetic:7');
      assert.match(full.stdout, /\nnothing is wrong\n$/);
    });

    it('prints an object a data set with --json', async () => {
      const { status, stdout } = await command('data', 'info', spec, 'synthetic:2', '--json');
      assert.equal(status, 1);
      const [first, second] = jsonLines(stdout);
      assert.deepEqual(first, JSON.parse(JSON.stringify(await inspectDataset(spec))));
      assert.equal(second!['spec'], 'synthetic:2');
    });

    it('fails in one line, and stops at SIGINT', async () => {
      const bad = await command('data', 'info', 'folder:nowhere');
      assert.equal(bad.status, 1);
      assert.match(bad.stderr, /^countenance: .*nowhere.* \(ERR_FILE_NOT_FOUND\)\n$/);
      assert.equal((await command('data', 'info')).status, 2);
      assert.equal((await command('data')).status, 2);
      const child = startChild('data', 'info', 'synthetic:7', 'synthetic:100000', '--json');
      await child.saw('synthetic:7');
      child.process.kill('SIGINT');
      const { status, stderr } = await child.end;
      assert.equal(status, 130);
      assert.match(stderr, /stopped\n$/);
    });
  });
});
