import assert from 'node:assert/strict';
import { relative } from 'node:path';
import { countClasses } from '../../lib/data/dataset.js';
import { openDataset } from '../../lib/data/registry.js';
import type { CountenanceError } from '../../lib/errors.js';
import { rejectsWith, temporaryDirectory } from './data-support.js';
import { writeBelow, writeFace } from './synthetic-files.js';

describe('JAFFE', () => {
  const temporary = temporaryDirectory();
  const subjects = ['KA', 'KL', 'KM'];
  const expressions = {
    AN: 'anger',
    DI: 'disgust',
    FE: 'fear',
    HA: 'happiness',
    NE: 'neutral',
    SA: 'sadness',
    SU: 'surprise',
  } as const;
  let root: string;

  before(async () => {
    root = temporary.path('jaffedbase');
    let number = 1;
    for (const subject of subjects) {
      for (const [code, name] of Object.entries(expressions)) {
        await writeFace(`${root}/jaffe/${subject}.${code}1.${number}.tiff`, name, number++);
      }
    }
    await writeBelow(`${root}/jaffe/README.txt`, 'text');
  });

  it('takes subject and expression from the file names', async () => {
    const dataset = await openDataset(`jaffe:${root}`);
    assert.deepEqual(dataset.classes, Object.values(expressions));
    assert.equal(dataset.neutral, 'neutral');
    assert.deepEqual(countClasses(dataset), [3, 3, 3, 3, 3, 3, 3]);
    const first = dataset.describe(0);
    assert.equal(relative(root, first), 'jaffe/KA.AN1.1.tiff');
    const { data, width, height } = await dataset.load(0);
    assert.equal(data.length, 3 * width * height);
    assert.equal((await openDataset(`jaffe:${root}/jaffe`)).size, dataset.size);
  });

  it('leaves one subject out in each fold', async () => {
    for (const [i, subject] of subjects.entries()) {
      const test = await openDataset(`jaffe:${root}#fold${i + 1}-test`);
      const train = await openDataset(`jaffe:${root}#fold${i + 1}-train`);
      assert.deepEqual([test.size, train.size], [7, 14]);
      for (let k = 0; k < 7; k++) assert.match(test.describe(k), new RegExp(`${subject}\\.`));
      for (let k = 0; k < 14; k++)
        assert.doesNotMatch(train.describe(k), new RegExp(`${subject}\\.`));
    }
    for (const split of ['fold4-test', 'fold0-train', 'train']) {
      await rejectsWith(openDataset(`jaffe:${root}#${split}`), 'ERR_DATASET_FORMAT', 'fold3-test');
    }
  });

  it('names files that are named otherwise, or passes over them', async () => {
    const other = temporary.path('other');
    await writeFace(`${other}/KA.HA1.29.tiff`, 'happiness', 1);
    await writeFace(`${other}/KA.XX1.30.tiff`, 'happiness', 2);
    await writeFace(`${other}/holiday.png`, 'happiness', 3);
    await rejectsWith(openDataset(`jaffe:${other}`), 'ERR_LABEL_RANGE', 'KA.XX1.30.tiff');
    const problems: CountenanceError[] = [];
    const dataset = await openDataset(`jaffe:${other}`, { onProblem: (e) => problems.push(e) });
    assert.equal(dataset.size, 1);
    assert.equal(problems.length, 2);
    await rejectsWith(openDataset('jaffe:nowhere'), 'ERR_FILE_NOT_FOUND', 'nowhere');
  });
});
