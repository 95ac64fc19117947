import assert from 'node:assert/strict';
import { join, relative } from 'node:path';
import { ckplusClasses } from '../../lib/data/classes.js';
import { countClasses, type Dataset } from '../../lib/data/dataset.js';
import { openDataset } from '../../lib/data/registry.js';
import type { CountenanceError } from '../../lib/errors.js';
import { rejectsWith, temporaryDirectory } from './data-support.js';
import { writeBelow, writeFace } from './synthetic-files.js';

/** A code as it appears in the data set's files. */
const emotion = (code: number): string => `   ${code.toFixed(7)}e+00\n`;

/** Subject numbers have gaps. */
const subjectOf = (index: number): string => `S${String(10 + 7 * index).padStart(3, '0')}`;

describe('CK+', () => {
  const temporary = temporaryDirectory();
  let root: string;

  /** A sequence of synthetic images, and its label if it has one. */
  async function sequence(
    parent: string,
    [subject, session]: readonly [string, string],
    frames: number,
    code: number | undefined,
  ): Promise<void> {
    const name = (frame: number): string =>
      `${subject}_${session}_${String(frame).padStart(8, '0')}`;
    for (let frame = 1; frame <= frames; frame++) {
      const file = join(parent, 'cohn-kanade-images', subject, session, `${name(frame)}.png`);
      await writeFace(file, ckplusClasses[code ?? 0]!, frame);
    }
    const label = join(parent, 'Emotion', subject, session);
    await writeBelow(join(label, '.DS_Store'), '');
    if (code !== undefined) {
      await writeBelow(join(label, `${name(frames)}_emotion.txt`), emotion(code));
    }
  }

  before(async () => {
    root = temporary.path('CK+');
    await writeBelow(join(root, 'cohn-kanade-images', '.DS_Store'), '');
    await writeBelow(join(root, 'Emotion', '.DS_Store'), '');
    for (let subject = 0; subject < 12; subject++) {
      await sequence(root, [subjectOf(subject), '001'], 5, 1 + (subject % 7));
      if (subject < 3) await sequence(root, [subjectOf(subject), '004'], 2, undefined);
    }
    await sequence(root, [subjectOf(0), '002'], 3, 7);
  });

  const names = (dataset: Dataset): string[] =>
    Array.from({ length: dataset.size }, (_, i) =>
      relative(join(root, 'cohn-kanade-images'), dataset.describe(i)),
    );
  const subjects = (dataset: Dataset): string[] => [
    ...new Set(names(dataset).map((name) => name.slice(0, 4))),
  ];

  it('takes the first frame as neutral and the last three as the expression', async () => {
    const dataset = await openDataset(`ckplus:${root}`);
    assert.deepEqual(dataset.classes, [...ckplusClasses]);
    assert.equal(dataset.neutral, 'neutral');
    assert.deepEqual(names(dataset).slice(0, 7), [
      ...[1, 3, 4, 5].map((frame) => `S010/001/S010_001_0000000${frame}.png`),
      ...[1, 2, 3].map((frame) => `S010/002/S010_002_0000000${frame}.png`),
    ]);
    assert.deepEqual(
      Array.from({ length: 7 }, (_, i) => dataset.classes[dataset.label(i)]),
      ['neutral', 'anger', 'anger', 'anger', 'neutral', 'surprise', 'surprise'],
    );
    assert.equal(countClasses(dataset)[0], 13);
    assert.equal(dataset.size, 12 * 4 + 3);
    assert.deepEqual(dataset.notes, [
      '13 labelled sequences of 12 subjects',
      '3 sequences without a label were left out',
    ]);
    assert.ok((await dataset.load(0)).width >= 72);
    const last = await openDataset(`ckplus:${root}#frames=1`);
    assert.equal(last.size, 13 * 2);
    assert.equal(names(last)[1], 'S010/001/S010_001_00000005.png');
  });

  it('has ten folds by subject', async () => {
    const seen = new Map<string, number>();
    for (let fold = 1; fold <= 10; fold++) {
      const train = await openDataset(`ckplus:${root}#fold${fold}-train`);
      const test = await openDataset(`ckplus:${root}#fold${fold}-test,frames=3`);
      const [inTrain, inTest] = [subjects(train), subjects(test)];
      assert.deepEqual(
        inTest,
        [fold - 1, fold + 9].filter((i) => i < 12).map(subjectOf),
        'each tenth subject',
      );
      assert.equal(inTrain.length + inTest.length, 12);
      assert.ok(inTest.every((subject) => !inTrain.includes(subject)));
      for (const name of names(test)) seen.set(name, (seen.get(name) ?? 0) + 1);
    }
    const all = await openDataset(`ckplus:${root}`);
    assert.deepEqual([...seen.keys()].sort(), names(all).sort());
    assert.ok([...seen.values()].every((count) => count === 1));
  });

  it('says what is wrong', async () => {
    const refuses = (spec: string, ...parts: string[]): Promise<unknown> =>
      rejectsWith(openDataset(spec), 'ERR_DATASET_FORMAT', ...parts);
    for (const split of ['train', 'fold0-train', 'fold11-test', 'fold1', 'fold01-train']) {
      await refuses(`ckplus:${root}#${split}`, `'${split}'`, 'fold1-train');
    }
    for (const frames of ['0', '1.5', 'all']) {
      await refuses(`ckplus:${root}#frames=${frames}`, `'${frames}'`);
    }
    await refuses(`ckplus:${temporary.path()}`, 'cohn-kanade-images', 'Emotion');
    await rejectsWith(openDataset('ckplus:nowhere'), 'ERR_FILE_NOT_FOUND', 'nowhere');
    const signal = AbortSignal.abort();
    await rejectsWith(openDataset(`ckplus:${root}`, { signal }), 'ERR_ABORTED');
  });

  it('collects what is wrong with sequences', async () => {
    const bad = temporary.path('bad');
    await sequence(bad, ['S001', '001'], 3, 5);
    await sequence(bad, ['S001', '002'], 3, 9);
    await sequence(bad, ['S001', '003'], 1, 5);
    await sequence(bad, ['S001', '004'], 3, undefined);
    await writeBelow(join(bad, 'Emotion', 'S001', '004', 'S001_004_00000003_emotion.txt'), 'joy');
    await writeBelow(join(bad, 'Emotion', 'S002', '001', 'x_emotion.txt'), emotion(1));
    const problems: CountenanceError[] = [];
    const dataset = await openDataset(`ckplus:${bad}`, {
      onProblem: (problem) => problems.push(problem),
    });
    assert.equal(dataset.size, 3);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['ERR_LABEL_RANGE', 'ERR_FILE_NOT_FOUND', 'ERR_LABEL_RANGE', 'ERR_FILE_NOT_FOUND'],
    );
    assert.match(
      problems[0]!.message,
      /S001_002_00000003_emotion\.txt'.*'9\.0000000e\+00'.*0\.\.7/,
    );
    assert.match(problems[3]!.message, /S002/);
    await rejectsWith(openDataset(`ckplus:${bad}`), 'ERR_LABEL_RANGE', 'S001_002');
  });
});
