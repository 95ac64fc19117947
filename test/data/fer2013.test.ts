import assert from 'node:assert/strict';
import { fer2013Classes } from '../../lib/data/classes.js';
import { countClasses } from '../../lib/data/dataset.js';
import { openDataset } from '../../lib/data/registry.js';
import type { CountenanceError } from '../../lib/errors.js';
import { resizeImage } from '../../lib/images/resize.js';
import { rejectsWith, temporaryDirectory } from './data-support.js';
import { syntheticFace, writeBelow } from './synthetic-files.js';

describe('FER2013', () => {
  const temporary = temporaryDirectory();
  const usages = ['Training', 'Training', 'PublicTest', 'PrivateTest'];
  let rows: string[];
  const grays: Uint8Array[] = [];
  let file: string;

  before(async () => {
    for (let i = 0; i < 28; i++) {
      const rgb = await resizeImage(await syntheticFace(fer2013Classes[i % 7]!, i), 48);
      grays.push(rgb.filter((_, k) => k % 3 === 0));
    }
    rows = grays.map((gray, i) => `${i % 7},${gray.join(' ')},${usages[i % 4]!}`);
    file = await writeBelow(
      temporary.path('fer', 'fer2013.csv'),
      ['emotion,pixels,Usage', ...rows, ''].join('\n'),
    );
  });

  it('reads labels, pixels and splits', async () => {
    const train = await openDataset(`fer2013:${file}#train`);
    assert.deepEqual(train.classes, [...fer2013Classes]);
    assert.equal(train.neutral, 'neutral');
    assert.deepEqual(countClasses(train), new Array(7).fill(2));
    const indices = grays.flatMap((_, i) => (i % 4 < 2 ? [i] : []));
    for (const [at, i] of indices.entries()) {
      const { data, width, height } = await train.load(at);
      assert.deepEqual([width, height, train.label(at)], [48, 48, i % 7]);
      for (const channel of [0, 1, 2]) {
        assert.deepEqual(
          data.filter((_, k) => k % 3 === channel),
          grays[i],
        );
      }
      assert.equal(train.describe(at), `${file}, line ${i + 2}`);
    }
    assert.equal((await openDataset(`fer2013:${temporary.path('fer')}#valid`)).size, 7);
    assert.equal((await openDataset(`fer2013:${file}#test`)).size, 7);
  });

  it('reads other orders of the columns, line ends and quotes', async () => {
    const other = rows.map((row) => {
      const [emotion, pixels, usage] = row.split(',');
      return `${emotion}, ${usage}, "${pixels}"`;
    });
    const path = await writeBelow(
      temporary.path('icml.csv'),
      ['\ufeffemotion, Usage, pixels', ...other].join('\r\n'),
    );
    const dataset = await openDataset(`fer2013:${path}#train`);
    const reference = await openDataset(`fer2013:${file}#train`);
    assert.equal(dataset.size, 14);
    for (let i = 0; i < 14; i++) {
      assert.deepEqual(await dataset.load(i), await reference.load(i));
      assert.equal(dataset.label(i), reference.label(i));
    }
  });

  it('finds the files of the Kaggle contest in a folder', async () => {
    const header = 'emotion, Usage, pixels';
    const moved = rows.map((row) => row.replace(/^(\d),(.*),(\w+)$/, '$1, $3, $2'));
    const contest = temporary.path('contest');
    await writeBelow(`${contest}/icml_face_data.csv`, [header, ...moved].join('\n'));
    const test = await openDataset(`fer2013:${contest}#test`);
    assert.deepEqual([test.size, test.label(0)], [7, 3]);

    // Its train.csv has no usages: all of it is for training.
    const folder = temporary.path('train-only', 'fer2013');
    const training = rows.map((row) => row.replace(/,\w+$/, ''));
    await writeBelow(`${folder}/train.csv`, ['emotion,pixels', ...training].join('\n'));
    const train = await openDataset(`fer2013:${temporary.path('train-only')}#train`);
    assert.equal(train.size, 28);
    assert.deepEqual(
      await train.load(2),
      await (await openDataset(`fer2013:${file}#valid`)).load(0),
    );
    const valid = await openDataset(`fer2013:${folder}#valid`);
    assert.equal(valid.size, 0);
    assert.deepEqual(valid.notes, ['28 images without a usage are of the split train']);
    await rejectsWith(
      openDataset(`fer2013:${temporary.path()}#train`),
      'ERR_FILE_NOT_FOUND',
      'fer2013.csv, icml_face_data.csv, train.csv',
    );
  });

  it('says what is wrong, or collects it', async () => {
    const pixels = grays[0]!.join(' ');
    const bad = [
      `7,${pixels},Training`,
      `x,${pixels},Training`,
      `0,${pixels} 1,Training`,
      `0,${pixels.replace(/^\d+/, '256')},Training`,
      `0,1 2 3,Training`,
    ];
    const path = temporary.path('bad.csv');
    const open = async (...lines: string[]): Promise<unknown> =>
      openDataset(
        `fer2013:${await writeBelow(path, ['emotion,pixels,Usage', ...lines].join('\n'))}#train`,
      );
    const codes = [
      'ERR_LABEL_RANGE',
      'ERR_LABEL_RANGE',
      'ERR_DATASET_FORMAT',
      'ERR_DATASET_FORMAT',
      'ERR_DATASET_FORMAT',
    ] as const;
    for (const [i, line] of bad.entries()) {
      await rejectsWith(open(rows[0]!, line), codes[i]!, 'bad.csv', 'line 3');
    }
    const problems: CountenanceError[] = [];
    await writeBelow(path, ['emotion,pixels,Usage', ...bad, rows[0]].join('\n'));
    const dataset = await openDataset(`fer2013:${path}#train`, {
      onProblem: (problem) => problems.push(problem),
    });
    assert.equal(dataset.size, 1);
    assert.deepEqual(
      problems.map(({ code }) => code),
      codes,
    );

    await rejectsWith(open(`0,${pixels}`), 'ERR_DATASET_FORMAT', 'line 2', '2 fields');
    await writeBelow(path, 'label,pixels\n');
    await rejectsWith(openDataset(`fer2013:${path}#train`), 'ERR_DATASET_FORMAT', 'Usage');
    await writeBelow(path, `emotion,pixels,Usage\n${'0'.repeat(200_000)}`);
    await rejectsWith(openDataset(`fer2013:${path}#train`), 'ERR_DATASET_FORMAT', 'too long');
    await rejectsWith(openDataset('fer2013:none.csv#train'), 'ERR_FILE_NOT_FOUND', 'none.csv');
    await rejectsWith(openDataset(`fer2013:${file}`), 'ERR_DATASET_FORMAT', '#train');
    const signal = AbortSignal.abort();
    await rejectsWith(openDataset(`fer2013:${file}#train`, { signal }), 'ERR_ABORTED');
  });
});
