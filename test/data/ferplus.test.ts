import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import { ferplusClasses } from '../../lib/data/classes.js';
import { countClasses } from '../../lib/data/dataset.js';
import { targetFromVotes, type FerplusMode } from '../../lib/data/formats/ferplus-votes.js';
import { openDataset } from '../../lib/data/registry.js';
import { rejectsWith, temporaryDirectory } from './data-support.js';

/** Ten votes: neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF. */
function target(mode: FerplusMode, ...votes: number[]): number[] | undefined {
  const result = targetFromVotes([...votes, ...new Array<number>(10 - votes.length).fill(0)], mode);
  return result && [...result];
}

describe('FER+ votes', () => {
  it('majority: more than half of what remains without single votes', () => {
    assert.deepEqual(target('majority', 4, 0, 0, 1, 3, 2), undefined); // 4 of 9
    assert.deepEqual(target('majority', 6, 0, 1, 1, 0, 0, 0, 0, 2), [1, 0, 0, 0, 0, 0, 0, 0]); // 6 of 8
    assert.deepEqual(target('majority', 5, 5), undefined); // exactly half
    assert.deepEqual(target('majority', 0, 2, 1, 1, 1, 1, 1, 1, 1, 1), [0, 1, 0, 0, 0, 0, 0, 0]);
    assert.deepEqual(target('majority', 2, 0, 0, 0, 0, 0, 0, 0, 8), undefined); // unknown
    assert.deepEqual(target('majority', 0, 0, 0, 0, 0, 0, 0, 0, 0, 10), undefined); // no face
    assert.deepEqual(target('majority', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), undefined); // only outliers
  });

  it('distributions: leading classes up to three quarters of the votes, at most three', () => {
    for (const mode of ['probability', 'crossentropy'] as const) {
      assert.deepEqual(target(mode, 4, 0, 0, 4, 2), [0.5, 0, 0, 0.5, 0, 0, 0, 0]); // 8 of 10 reached
      assert.deepEqual(target(mode, 6, 0, 0, 0, 4), [
        Math.fround(0.6),
        0,
        0,
        0,
        Math.fround(0.4),
        0,
        0,
        0,
      ]);
      assert.deepEqual(target(mode, 10), [1, 0, 0, 0, 0, 0, 0, 0]);
      assert.deepEqual(target(mode, 2, 2, 2, 2, 2), undefined); // five equals: too many
      assert.deepEqual(target(mode, 3, 3, 2, 2), undefined); // the last two tie: four
      assert.deepEqual(target(mode, 5, 0, 0, 0, 0, 0, 0, 0, 5), undefined); // class, then unknown: half
      assert.deepEqual(target(mode, 6, 0, 0, 0, 0, 0, 0, 0, 4), [1, 0, 0, 0, 0, 0, 0, 0]);
      assert.deepEqual(target(mode, 4, 0, 0, 0, 0, 0, 0, 0, 6), undefined); // unknown leads
      assert.deepEqual(target(mode, 1, 1, 1), undefined);
    }
  });
});

describe('FER+ layouts', () => {
  const temporary = temporaryDirectory();
  const names = ['fer0.png', 'fer1.png', 'fer2.png'];
  const votes = ['6,2,0,0,0,0,0,0,2,0', '0,0,0,0,5,5,0,0,0,0', '0,0,0,0,1,0,9,0,0,0'];
  const header =
    'Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF';

  /** Gray picture i: its pixels are (x + y + 50 i) mod 256. */
  const gray = (i: number): Uint8Array =>
    Uint8Array.from({ length: 48 * 48 }, (_, k) => ((k % 48) + Math.floor(k / 48) + 50 * i) & 255);

  async function pictures(folder: string): Promise<void> {
    await mkdir(temporary.path(folder), { recursive: true });
    for (const [i, name] of names.entries()) {
      const raw = { width: 48, height: 48, channels: 1 as const };
      await sharp(gray(i), { raw }).toColourspace('b-w').png().toFile(temporary.path(folder, name));
    }
  }

  before(async () => {
    await pictures('own/FER2013Train');
    const rows = names.map((name, i) => `${name},"(0, 0, 48, 48)",${votes[i]!}`);
    await writeFile(temporary.path('own/FER2013Train/label.csv'), `${rows.join('\n')}\n`);

    const shared = [header, `Training,${names[0]!},${votes[0]!}`, 'Training,,0,0,0,0,0,0,0,0,0,10'];
    shared.push(`PublicTest,${names[1]!},${votes[1]!}`, `Training,${names[2]!},${votes[2]!}`);
    await pictures('shared/FER2013Train');
    await writeFile(temporary.path('shared/fer2013new.csv'), `${shared.join('\r\n')}\r\n`);
    await mkdir(temporary.path('pixels'));
    await writeFile(temporary.path('pixels/fer2013new.csv'), shared.join('\n'));
    const line = (i: number): string => `0,"${gray(i).join(' ')}",Training`;
    const pixels = ['emotion,pixels,Usage', line(0), line(9), line(1), line(2)];
    await writeFile(temporary.path('pixels/fer2013.csv'), pixels.join('\n'));
  });

  it('all give the same images and labels', async () => {
    for (const layout of ['own', 'shared', 'pixels']) {
      const dataset = await openDataset(`ferplus:${temporary.path(layout)}#train`);
      assert.deepEqual(dataset.classes, [...ferplusClasses]);
      assert.equal(dataset.neutral, 'neutral');
      assert.equal(dataset.size, 2, layout);
      assert.deepEqual([dataset.label(0), dataset.label(1)], [0, 6]);
      assert.equal(dataset.target(0), undefined);
      for (const [index, i] of [
        [0, 0],
        [1, 2],
      ] as const) {
        const { data, width, height } = await dataset.load(index);
        assert.deepEqual([width, height], [48, 48]);
        const red = data.filter((_, k) => k % 3 === 0);
        assert.deepEqual(red, gray(i), `${layout} ${index}`);
        assert.match(dataset.describe(index), new RegExp(names[i]!.replace('.', '\\.')));
      }
    }
    const valid = await openDataset(`ferplus:${temporary.path('pixels')}#val`);
    assert.equal(valid.size, 0);
  });

  it('may have the pixels under the name of the contest', async () => {
    const folder = temporary.path('contest');
    await mkdir(folder);
    await copyFile(temporary.path('pixels/fer2013new.csv'), join(folder, 'fer2013new.csv'));
    await copyFile(temporary.path('pixels/fer2013.csv'), join(folder, 'icml_face_data.csv'));
    const [own, reference] = await Promise.all(
      ['contest', 'pixels'].map((name) => openDataset(`ferplus:${temporary.path(name)}#train`)),
    );
    assert.equal(own!.size, 2);
    assert.deepEqual(await own!.load(1), await reference!.load(1));
  });

  it('have soft targets in the other modes', async () => {
    const path = temporary.path('own');
    const soft = await openDataset(`ferplus:${path}#train,mode=crossentropy`);
    assert.deepEqual([soft.size, soft.targetKind], [3, 'distribution']);
    assert.deepEqual([...soft.target(1)!], [0, 0, 0, 0, 0.5, 0.5, 0, 0]);
    assert.equal(soft.label(1), 4);
    assert.equal((await openDataset(`ferplus:${path}#train,mode=probability`)).targetKind, 'drawn');
    assert.match(
      (await openDataset(`ferplus:${path}#train`)).notes.join(),
      /1 images without a majority/,
    );
  });

  it('say what is wrong', async () => {
    const path = temporary.path('own');
    await rejectsWith(
      openDataset(`ferplus:${path}`),
      'ERR_DATASET_FORMAT',
      '#train',
      '#valid',
      '#test',
    );
    await rejectsWith(
      openDataset(`ferplus:${path}#train,mode=soft`),
      'ERR_DATASET_FORMAT',
      'majority',
    );
    await rejectsWith(
      openDataset(`ferplus:${path}#test`),
      'ERR_DATASET_FORMAT',
      'FER2013Test',
      'fer2013new.csv',
    );
    await rejectsWith(
      openDataset(`ferplus:${temporary.path('none')}#train`),
      'ERR_FILE_NOT_FOUND',
      'none',
    );

    const folder = temporary.path('bad/FER2013Train');
    await mkdir(folder, { recursive: true });
    const open = async (content: string): Promise<unknown> => {
      await writeFile(join(folder, 'label.csv'), content);
      return openDataset(`ferplus:${temporary.path('bad')}#train`);
    };
    await rejectsWith(() => open('a.png,box,1,2\n'), 'ERR_DATASET_FORMAT', 'label.csv', 'line 1');
    await rejectsWith(() => open(`a.png,box,x,0,0,0,0,0,0,0,0,0\n`), 'ERR_LABEL_RANGE', 'line 1');
    await rejectsWith(
      () => open(`a.png,box,10,0,0,0,0,0,0,0,0,0\n`),
      'ERR_FILE_NOT_FOUND',
      'a.png',
      '1 of 1',
    );

    const pixels = temporary.path('pixels/fer2013.csv');
    const train = `ferplus:${temporary.path('pixels')}#train`;
    await writeFile(pixels, 'emotion,pixels,Usage\n0,1 2 3,Training\n');
    await rejectsWith(openDataset(train), 'ERR_DATASET_FORMAT', 'fer2013.csv', 'line 2', '2304');
    await writeFile(pixels, `emotion,pixels,Usage\n0,${gray(0).join(' ')},Training\n`);
    await rejectsWith(openDataset(train), 'ERR_DATASET_FORMAT', 'row 3');
    await writeFile(pixels, `emotion,pixels,Usage\n0,${gray(0).join(' ')},PublicTest\n`);
    await rejectsWith(
      openDataset(train),
      'ERR_DATASET_FORMAT',
      'line 2 is PublicTest but is Training in fer2013new.csv',
      'another order',
    );
    await writeFile(
      pixels,
      `emotion,pixels,Usage\n0,${gray(0).fill(1).join(' ').replace('1', '256')},Training\n`,
    );
    await rejectsWith(openDataset(train), 'ERR_DATASET_FORMAT', 'line 2');
  });
});

describe('FER+ as published', () => {
  const temporary = temporaryDirectory();
  const archives = resolve(__dirname, '../../../shared/ferplus');

  before(function () {
    this.timeout(60_000);
    if (!existsSync(archives)) {
      console.log('      skipped: ../shared/ferplus is not there');
      this.skip();
    }
    for (const name of ['FER2013Train', 'FER2013Valid']) {
      const archive = join(archives, `${name}.tar`);
      execFileSync('tar', ['-xf', archive, '-C', temporary.path()]);
    }
  });

  it('has the counts of the method', async function () {
    this.timeout(30_000);
    const spec = `ferplus:${temporary.path()}`;
    const train = await openDataset(`${spec}#train`);
    const valid = await openDataset(`${spec}#valid`);
    assert.equal(train.size, 25_045);
    assert.equal(valid.size, 3_191);
    // neutral, happiness, surprise, sadness, anger, disgust, fear, contempt
    assert.deepEqual(countClasses(train), [8733, 7284, 3136, 3022, 2098, 116, 536, 120]);
    assert.deepEqual(countClasses(valid), [1180, 862, 411, 348, 289, 25, 60, 16]);
    assert.equal((await openDataset(`${spec}#train,mode=probability`)).size, 27_947);
    assert.equal((await openDataset(`${spec}#valid,mode=crossentropy`)).size, 3_508);
    const { width, height } = await train.load(train.size - 1);
    assert.deepEqual([width, height], [48, 48]);
  });
});
