import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { affectnetClasses } from '../../lib/data/classes.js';
import { countClasses, type Dataset } from '../../lib/data/dataset.js';
import { readNpyInteger } from '../../lib/data/formats/npy-integer.js';
import { openDataset } from '../../lib/data/registry.js';
import type { CountenanceError } from '../../lib/errors.js';
import { cropImage } from '../../lib/images/crop.js';
import { rejectsWith, temporaryDirectory } from './data-support.js';
import { npyScalar, npyText, writeBelow, writeFace } from './synthetic-files.js';

const header =
  'subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal';
const landmarks = '10.5;20.25;30;40';

describe('AffectNet', () => {
  const temporary = temporaryDirectory();

  /** Pictures and labels as relative paths and class names. */
  const contents = (dataset: Dataset, root: string): string[] =>
    Array.from(
      { length: dataset.size },
      (_, i) => `${relative(root, dataset.describe(i))} ${dataset.classes[dataset.label(i)]!}`,
    );

  describe('by its lists', () => {
    /** A picture of each code 0..10 in two folders, and two more for validation. */
    async function write(
      root: string,
      lists: readonly string[],
      images: readonly string[],
    ): Promise<string> {
      const rows: string[] = [];
      for (let code = 0; code <= 10; code++) {
        const path = `${code % 2 === 0 ? '689' : '12'}/${'abc'.repeat(3)}${code}.jpg`;
        await writeFace(join(root, ...images, path), affectnetClasses[code] ?? 'neutral', code);
        rows.push(`${path},5,6,40,30,${landmarks},${code},0.1,-0.2`);
      }
      await writeBelow(join(root, ...lists, 'training.csv'), [header, ...rows, ''].join('\n'));
      // As distributed, the validation list has no header.
      const valid = rows.slice(1, 3).map((row) => row.replace('5,6,40,30', '-3,70,1000,1000'));
      await writeBelow(join(root, ...lists, 'validation.csv'), valid.join('\r\n'));
      return root;
    }

    let root: string;
    before(async () => {
      const lists = ['Manually_Annotated_file_lists'];
      const images = ['Manually_Annotated', 'Manually_Annotated_Images'];
      root = await write(temporary.path('lists'), lists, images);
    });

    it('has eight classes, or seven without contempt', async () => {
      const eight = await openDataset(`affectnet8:${root}#train`);
      assert.deepEqual(eight.classes, [...affectnetClasses]);
      assert.equal(eight.neutral, 'neutral');
      assert.deepEqual(countClasses(eight), new Array(8).fill(1));
      const folder = 'Manually_Annotated/Manually_Annotated_Images';
      assert.deepEqual(contents(eight, root).slice(0, 3), [
        `${folder}/689/abcabcabc0.jpg neutral`,
        `${folder}/12/abcabcabc1.jpg happiness`,
        `${folder}/689/abcabcabc2.jpg sadness`,
      ]);
      assert.match(eight.notes.join(), /^3 images without an expression/);
      const seven = await openDataset(`affectnet7:${root}#train`);
      assert.deepEqual(countClasses(seven), new Array(7).fill(1));
      assert.deepEqual(seven.classes, affectnetClasses.slice(0, 7));
      assert.match(seven.notes.join(), /^1 images of contempt were left out,3 images without/);
    });

    it('crops to the face box, cut at the edges, or not', async () => {
      const cropped = await (await openDataset(`affectnet7:${root}#train`)).load(0);
      const whole = await (await openDataset(`affectnet7:${root}#train,crop=none`)).load(0);
      assert.deepEqual([cropped.width, cropped.height], [40, 30]);
      assert.deepEqual(cropped, cropImage(whole, { left: 5, top: 6, width: 40, height: 30 }));
      const valid = await openDataset(`affectnet7:${root}#val`);
      assert.deepEqual(countClasses(valid), [0, 1, 1, 0, 0, 0, 0]);
      const entire = await openDataset(`affectnet7:${root}#val,crop=none`);
      const [cut, full] = [await valid.load(0), await entire.load(0)];
      assert.deepEqual([cut.width, cut.height], [full.width, full.height - 70]);
    });

    it('may be unpacked into one folder, and need not have boxes', async () => {
      const flat = await write(temporary.path('flat'), [], ['Manually_Annotated_Images']);
      const list = temporary.path('flat', 'training.csv');
      const short = `subDirectory_filePath,expression\n689/abcabcabc0.jpg,6\n`;
      assert.equal((await openDataset(`affectnet7:${flat}#train`)).size, 7);
      await writeBelow(list, short);
      const dataset = await openDataset(`affectnet7:${flat}#train`);
      assert.deepEqual([dataset.size, dataset.classes[dataset.label(0)]], [1, 'anger']);
      assert.match(dataset.notes.join(), /1 images have no face box/);
      assert.ok((await dataset.load(0)).width >= 72);
    });

    it('says what is wrong, or collects it', async () => {
      const bad = temporary.path('bad');
      await writeFace(join(bad, 'Manually_Annotated_Images', 'a', 'x.jpg'), 'fear', 1);
      const row = (path: string, code: string): string =>
        `${path},1,1,9,9,${landmarks},${code},0,0`;
      const rows = [
        row('a/x.jpg', '4'),
        row('a/y.jpg', '4'),
        row('b/x.jpg', '4'),
        row('a/x.jpg', '11'),
        row('a/x.jpg', ''),
        row('../a/x.jpg', '1'),
      ];
      const problems: CountenanceError[] = [];
      await writeBelow(join(bad, 'training.csv'), [header, ...rows].join('\n'));
      const dataset = await openDataset(`affectnet8:${bad}#train`, {
        onProblem: (problem) => problems.push(problem),
      });
      assert.equal(dataset.size, 1);
      assert.deepEqual(
        problems.map(({ code }) => code),
        [
          'ERR_FILE_NOT_FOUND',
          'ERR_FILE_NOT_FOUND',
          'ERR_LABEL_RANGE',
          'ERR_LABEL_RANGE',
          'ERR_DATASET_FORMAT',
        ],
      );
      for (const [i, problem] of problems.entries()) {
        assert.ok(problem.message.includes(`line ${i + 3}`), problem.message);
        await writeBelow(join(bad, 'training.csv'), [header, rows[i + 1]].join('\n'));
        await rejectsWith(openDataset(`affectnet8:${bad}#train`), problem.code, 'line 2');
      }
      await writeBelow(join(bad, 'training.csv'), `${header}\na/x.jpg,4\n`);
      await rejectsWith(openDataset(`affectnet8:${bad}#train`), 'ERR_DATASET_FORMAT', 'line 2');
      await writeBelow(join(bad, 'training.csv'), 'path,label\na/x.jpg,4\n');
      await rejectsWith(openDataset(`affectnet8:${bad}#train`), 'ERR_DATASET_FORMAT', '2 fields');
      await writeBelow(join(bad, 'training.csv'), '');
      await rejectsWith(openDataset(`affectnet8:${bad}#train`), 'ERR_DATASET_FORMAT', 'empty');
    });
  });

  describe('by its annotations', () => {
    let root: string;
    before(async () => {
      root = temporary.path('sets');
      for (let code = 0; code < 8; code++) {
        const name = affectnetClasses[code]!;
        await writeFace(join(root, 'train_set', 'images', `${code + 5}.jpg`), name, code);
        const label = join(root, 'train_set', 'annotations', `${code + 5}_exp.npy`);
        await writeBelow(label, npyText(String(code)));
        // The other annotations of a picture.
        for (const other of ['aro', 'val', 'lnd']) {
          await writeBelow(label.replace('_exp', `_${other}`), 'not read');
        }
      }
      await writeFace(join(root, 'val_set', 'images', '0.jpg'), 'happiness', 1);
      await writeBelow(join(root, 'val_set', 'annotations', '0_exp.npy'), npyText('1'));
    });

    it('has eight classes, or seven without contempt, in the order of the numbers', async () => {
      const eight = await openDataset(`affectnet8:${root}#train`);
      assert.deepEqual(contents(eight, join(root, 'train_set', 'images')), [
        ...['5.jpg neutral', '6.jpg happiness', '7.jpg sadness', '8.jpg surprise', '9.jpg fear'],
        ...['10.jpg disgust', '11.jpg anger', '12.jpg contempt'],
      ]);
      assert.ok((await eight.load(7)).width >= 72);
      const seven = await openDataset(`affectnet7:${root}#train`);
      assert.equal(seven.size, 7);
      assert.deepEqual(seven.notes, ['1 images of contempt were left out']);
      const valid = await openDataset(`affectnet7:${root}#valid`);
      assert.deepEqual(countClasses(valid), [0, 1, 0, 0, 0, 0, 0]);
    });

    it('says what is wrong, or collects it', async () => {
      const bad = temporary.path('bad-sets');
      const set = (...path: string[]): string => join(bad, 'train_set', ...path);
      for (const id of [1, 2, 3]) await writeFace(set('images', `${id}.jpg`), 'fear', id);
      await writeBelow(set('annotations', '1_exp.npy'), npyText('4'));
      await writeBelow(set('annotations', '2_exp.npy'), npyText('12'));
      await writeBelow(set('annotations', '4_exp.npy'), npyText('4'));
      await writeBelow(set('annotations', '5_exp.npy'), 'no array');
      const problems: CountenanceError[] = [];
      const dataset = await openDataset(`affectnet8:${bad}#train`, {
        onProblem: (problem) => problems.push(problem),
      });
      assert.equal(dataset.size, 1);
      assert.deepEqual(
        problems.map(({ code, message }) => `${code} ${/\w+\.(npy|jpg)/.exec(message)![0]}`),
        [
          'ERR_LABEL_RANGE 2_exp.npy',
          'ERR_FILE_NOT_FOUND 4.jpg',
          'ERR_NPY 5_exp.npy',
          'ERR_FILE_NOT_FOUND 3_exp.npy',
        ],
      );
      await rejectsWith(openDataset(`affectnet8:${bad}#train`), 'ERR_LABEL_RANGE', '2_exp.npy');
      await rm(set('annotations'), { recursive: true });
      await writeBelow(set('annotations', 'readme.txt'), '');
      await rejectsWith(openDataset(`affectnet8:${bad}#train`), 'ERR_DATASET_FORMAT', '_exp.npy');
    });
  });

  it('reads labels of every type numpy writes', async () => {
    const read = async (bytes: Uint8Array): Promise<number> =>
      readNpyInteger(await writeBelow(temporary.path('one.npy'), bytes));
    const cases: [string, Uint8Array][] = [
      ['|i1', Uint8Array.of(5)],
      ['|u1', Uint8Array.of(5)],
      ['<i2', new Uint8Array(Int16Array.of(5).buffer)],
      ['<i4', new Uint8Array(Int32Array.of(5).buffer)],
      ['<i8', new Uint8Array(BigInt64Array.of(5n).buffer)],
      ['<f4', new Uint8Array(Float32Array.of(5).buffer)],
      ['<f8', new Uint8Array(Float64Array.of(5).buffer)],
      ['|S1', Buffer.from('5')],
      ['|S3', Buffer.from('5\0\0')],
    ];
    for (const [descr, data] of cases) assert.equal(await read(npyScalar(descr, data)), 5, descr);
    assert.equal(await read(npyScalar('<i2', Uint8Array.of(5, 0), '(1,)')), 5);
    assert.equal(await read(npyText('10')), 10);
    const refuses = (bytes: Uint8Array, ...parts: string[]): Promise<unknown> =>
      rejectsWith(read(bytes), 'ERR_NPY', 'one.npy', ...parts);
    await refuses(npyText('x'), 'not hold an integer');
    await refuses(
      npyScalar('<f4', new Uint8Array(Float32Array.of(0.5).buffer)),
      'not hold an integer',
    );
    assert.equal(await read(npyScalar('>i2', Uint8Array.of(0, 5))), 5);
    assert.equal(await read(npyScalar('>f4', Uint8Array.of(0x40, 0xa0, 0, 0))), 5);
    await refuses(npyScalar('|O', Uint8Array.of(5)), '|O', 'allow_pickle=True');
    await refuses(npyScalar('<i4', Uint8Array.of(5)), '4 bytes, but 1');
    await refuses(npyScalar('<i2', Uint8Array.of(5, 0, 6, 0), '(2,)'), '2 values');
    const whole = npyText('3');
    for (let length = 0; length < whole.length; length++) {
      await rejectsWith(read(whole.subarray(0, length)), 'ERR_NPY', 'one.npy');
    }
  });

  it("reads numpy's own files", async function () {
    if (spawnSync('/usr/bin/python3', ['-c', 'import numpy']).status !== 0) {
      console.log('      skipped: no numpy here');
      this.skip();
    }
    const values = ["'6'", '6', 'np.float32(6)', "b'6'", 'np.array([6])', "np.array('6')"];
    const files = values.map((_, i) => temporary.path(`numpy-${i}.npy`));
    const lines = values.map((value, i) => `np.save(${JSON.stringify(files[i])}, ${value})`);
    execFileSync('/usr/bin/python3', ['-c', ['import numpy as np', ...lines].join('\n')]);
    for (const file of files) assert.equal(await readNpyInteger(file), 6, file);
  }).timeout(60_000);

  describe('by either', () => {
    it('asks for a split, and names what it looked for', async () => {
      const root = temporary.path('lists');
      const refuses = (spec: string, ...parts: string[]): Promise<unknown> =>
        rejectsWith(openDataset(spec), 'ERR_DATASET_FORMAT', ...parts);
      await refuses(`affectnet7:${root}`, '#train', '#valid');
      await refuses(`affectnet7:${root}#test`, "'test'");
      await refuses(`affectnet7:${root}#train,crop=eyes`, "'eyes'", 'box');
      await refuses(`affectnet7:${temporary.path('sets')}#train,crop=box`, 'no face boxes');
      await refuses(`affectnet7:${temporary.path()}#valid`, 'val_set', 'validation.csv');
      await rejectsWith(openDataset('affectnet7:nowhere#train'), 'ERR_FILE_NOT_FOUND', 'nowhere');
      const signal = AbortSignal.abort();
      for (const layout of ['lists', 'sets']) {
        const spec = `affectnet7:${temporary.path(layout)}#train`;
        await rejectsWith(openDataset(spec, { signal }), 'ERR_ABORTED');
      }
    });
  });
});
