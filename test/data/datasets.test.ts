import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import sharp from 'sharp';
import { readCsvRows } from '../../lib/data/csv-reader.js';
import { checkDataset, countClasses, summariseDataset } from '../../lib/data/dataset.js';
import { dataFormats, openDataset } from '../../lib/data/registry.js';
import { parseDataSpec } from '../../lib/data/spec.js';
import { rejectsWith, temporaryDirectory } from './data-support.js';

describe('data sets', () => {
  const temporary = temporaryDirectory();
  let png: Buffer;

  before(async () => {
    const create = { width: 8, height: 6, channels: 3 as const, background: '#c08060' };
    png = await sharp({ create }).png().toBuffer();
  });

  /** Writes the picture to a path below the temporary directory. */
  async function picture(...parts: string[]): Promise<string> {
    const file = temporary.path(...parts);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, png);
    return file;
  }

  async function text(content: string, ...parts: string[]): Promise<string> {
    const file = temporary.path(...parts);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
    return file;
  }

  describe('specification', () => {
    it('is format, path, split and options', () => {
      const parse = (spec: string): object => parseDataSpec(spec, ['folder', 'ferplus']);
      assert.deepEqual(parse('folder:a/b'), {
        text: 'folder:a/b',
        format: 'folder',
        path: 'a/b',
        options: {},
      });
      assert.deepEqual(parse('FOLDER:C:\\x#1#val'), {
        text: 'FOLDER:C:\\x#1#val',
        format: 'folder',
        path: 'C:\\x#1',
        split: 'val',
        options: {},
      });
      const spec = 'ferplus:x#train,mode=probability,a=';
      assert.deepEqual(parse(spec), {
        text: spec,
        format: 'ferplus',
        path: 'x',
        split: 'train',
        options: { mode: 'probability', a: '' },
      });
    });

    it('is refused with the way it should look', async () => {
      const refuses = (spec: string, ...parts: string[]): Promise<unknown> =>
        rejectsWith(openDataset(spec), 'ERR_DATASET_FORMAT', spec, ...parts);
      await refuses('faces', 'names no format', 'folder', 'synthetic', '#split');
      await refuses('imagenet:x', "unknown format 'imagenet'", 'ferplus');
      await refuses(temporary.path(), `folder:${temporary.path()}`);
      await refuses('folder:', 'no path');
      await refuses('folder:x#a,b', "'b'");
      await refuses('folder:x#a,mode=b', "no option 'mode'");
      await refuses('ferplus:x#train,size=3', "no option 'size'", 'mode');
    });

    it('has an example in each format, which parses', () => {
      const names = dataFormats.map(({ name }) => name);
      assert.equal(new Set(names).size, names.length);
      for (const { name, example } of dataFormats) {
        assert.equal(parseDataSpec(example, names).format, name);
      }
    });
  });

  describe('folder', () => {
    before(async () => {
      for (const name of ['b.png', 'a.PNG', '.hidden.png', 'notes.txt'])
        await picture('plain', 'neutral', name);
      await picture('plain', 'anger', 'deep', 'c.jpg');
      await picture('splits', 'train', 'anger', 'a.png');
      await picture('splits', 'train', 'neutral', 'a.png');
      await picture('splits', 'val', 'anger', 'a.png');
      await picture('splits', 'val', 'neutral', 'a.png');
      await mkdir(temporary.path('hollow', 'anger'), { recursive: true });
      await picture('hollow', 'neutral', 'a.png');
      await mkdir(temporary.path('nothing'));
      await picture('file.png');
    });

    it('takes classes from folder names and images from below them, in a fixed order', async () => {
      const dataset = await openDataset(`folder:${temporary.path('plain')}`);
      assert.deepEqual(dataset.classes, ['anger', 'neutral']);
      assert.equal(dataset.neutral, 'neutral');
      const files = Array.from({ length: dataset.size }, (_, i) =>
        relative(temporary.path('plain'), dataset.describe(i)),
      );
      assert.deepEqual(files, ['anger/deep/c.jpg', 'neutral/a.PNG', 'neutral/b.png']);
      assert.deepEqual(countClasses(dataset), [1, 2]);
      assert.match(summariseDataset(dataset), /3 images \(anger 1, neutral 2\)/);
      const image = await dataset.load(0);
      assert.deepEqual(
        [image.width, image.height, ...image.data.subarray(0, 3)],
        [8, 6, 0xc0, 0x80, 0x60],
      );
    });

    it('follows a link to a class folder', async () => {
      await mkdir(temporary.path('linked', 'anger'), { recursive: true });
      await symlink(temporary.path('plain', 'neutral'), temporary.path('linked', 'neutral'));
      assert.deepEqual(
        countClasses(await openDataset(`folder:${temporary.path('linked')}`)),
        [0, 2],
      );
    });

    it('finds splits by their usual names, and asks for one', async () => {
      const path = temporary.path('splits');
      for (const split of ['val', 'valid', 'validation']) {
        const dataset = await openDataset(`folder:${path}#${split}`);
        assert.match(dataset.describe(0), /val\/anger/);
      }
      await rejectsWith(
        openDataset(`folder:${path}`),
        'ERR_DATASET_FORMAT',
        `folder:${path}#train`,
        '#val',
      );
      await rejectsWith(
        openDataset(`folder:${path}#test`),
        'ERR_DATASET_FORMAT',
        "'test'",
        'train, val',
      );
      for (const split of ['..', 'constructor']) {
        await rejectsWith(openDataset(`folder:${path}#${split}`), 'ERR_DATASET_FORMAT', split);
      }
    });

    it('names what is missing or empty', async () => {
      const open = (name: string): Promise<unknown> =>
        openDataset(`folder:${temporary.path(name)}`);
      await rejectsWith(open('none'), 'ERR_FILE_NOT_FOUND', 'none');
      await rejectsWith(open('file.png'), 'ERR_NOT_A_DIRECTORY', 'file.png');
      await rejectsWith(open('nothing'), 'ERR_DATASET_EMPTY', 'nothing');
      const hollow = await openDataset(`folder:${temporary.path('hollow')}`);
      await rejectsWith(() => checkDataset(hollow, 'training'), 'ERR_DATASET_CLASS_EMPTY', 'anger');
      checkDataset(hollow, 'evaluation');
    });

    it('names the image that cannot be decoded', async () => {
      const file = await text('no picture', 'broken', 'anger', 'x.png');
      const dataset = await openDataset(`folder:${temporary.path('broken')}`);
      await rejectsWith(dataset.load(0), 'ERR_IMAGE_DECODE', file);
    });
  });

  describe('csv', () => {
    it('reads path and label, relative to the file, with splits', async () => {
      const first = await picture('csv', 'images', 'a, "1".png');
      const file = await text(
        '\ufeffpath,label,split\r\n"images/a, ""1"".png",neutral,train\r\n\r\nb.png,anger,Validation\r\nc.png,fear,train\r\n',
        'csv',
        'faces.csv',
      );
      const all = await openDataset(`csv:${file}`);
      assert.deepEqual(all.classes, ['anger', 'fear', 'neutral']);
      assert.equal(all.describe(0), first);
      assert.equal((await all.load(0)).width, 8);
      const train = await openDataset(`csv:${file}#train`);
      assert.deepEqual(train.classes, all.classes);
      assert.deepEqual(countClasses(train), [0, 1, 1]);
      assert.deepEqual(countClasses(await openDataset(`csv:${file}#valid`)), [1, 0, 0]);
      assert.equal((await openDataset(`csv:${file}#test`)).size, 0);
    });

    it('reads one column of probabilities a class', async () => {
      const file = await text('path,Anger,neutral\na.png,3,1\nb.png,0,0.5\n', 'csv', 'soft.csv');
      const dataset = await openDataset(`csv:${file}`);
      assert.deepEqual(dataset.classes, ['Anger', 'neutral']);
      assert.equal(dataset.targetKind, 'distribution');
      assert.deepEqual([...dataset.target(0)!], [0.75, 0.25]);
      assert.deepEqual([dataset.label(0), dataset.label(1)], [0, 1]);
    });

    it('names the line that is wrong', async () => {
      const refuses = async (
        content: string,
        code: 'ERR_DATASET_FORMAT' | 'ERR_LABEL_RANGE',
        ...parts: string[]
      ): Promise<void> => {
        const file = await text(content, 'csv', 'bad.csv');
        await rejectsWith(openDataset(`csv:${file}`), code, 'bad.csv', ...parts);
      };
      await refuses('', 'ERR_DATASET_FORMAT', 'empty');
      await refuses('a,b\n1,2\n', 'ERR_DATASET_FORMAT', "'path'", 'a, b');
      await refuses('path\nx\n', 'ERR_DATASET_FORMAT', "'label'");
      await refuses('path,label,label\n', 'ERR_DATASET_FORMAT', 'twice');
      await refuses('path,label\na.png,fear\n\nb.png\n', 'ERR_DATASET_FORMAT', 'line 4');
      await refuses('path,label\na.png,\n', 'ERR_DATASET_FORMAT', 'line 2', 'empty');
      await refuses('path,label\n,fear\n', 'ERR_DATASET_FORMAT', 'line 2', 'path');
      await refuses('path,a,b\nx.png,1,-1\n', 'ERR_LABEL_RANGE', 'line 2', '-1');
      await refuses('path,a,b\nx.png,0,0\n', 'ERR_LABEL_RANGE', 'only zeros');
      await refuses('path,a,b\nx.png,NaN,0\n', 'ERR_LABEL_RANGE', 'NaN');
      await refuses('path,label\n"a.png,fear\n', 'ERR_DATASET_FORMAT', 'quoted');
      const file = await text('path,label\na.png,fear\n', 'csv', 'whole.csv');
      await rejectsWith(openDataset(`csv:${file}#train`), 'ERR_DATASET_FORMAT', "'split'");
      await rejectsWith(
        openDataset(`csv:${temporary.path('none.csv')}`),
        'ERR_FILE_NOT_FOUND',
        'none.csv',
      );
      await rejectsWith(openDataset(`csv:${temporary.path()}`), 'ERR_NOT_A_FILE');
    });

    it('is parsed the same wherever the file is cut into pieces', async () => {
      // Longer than one piece of 64 KiB, with quotes, doubled quotes and line breaks inside fields.
      const rows = Array.from({ length: 9000 }, (_, i) => [
        `f${i}`,
        i % 3 === 0 ? `a,"${i}"\nb` : `ä${i}`,
        '',
      ]);
      const quote = (field: string): string =>
        /[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
      const content = rows.map((row) => row.map(quote).join(',')).join('\r\n');
      const read = await readCsvRows(await text(content, 'csv', 'long.csv'));
      assert.deepEqual(
        read.map(({ fields }) => fields),
        rows,
      );
      assert.equal(read[3]!.line, 5); // one line break inside row 0
    });
  });

  describe('rafdb', () => {
    const labels = 'train_00001.jpg 5\ntrain_00002.jpg 1\ntest_0001.jpg 7\n';

    it('reads the layout as distributed', async () => {
      for (const [root, labelPath, given] of [
        ['raf1', ['list_patition_label.txt'], 'raf1'],
        ['raf2/basic', ['EmoLabel', 'list_patition_label.txt'], 'raf2'],
      ] as const) {
        for (const name of ['train_00001', 'train_00002', 'test_0001']) {
          await picture(root, 'Image', 'aligned', `${name}_aligned.jpg`);
        }
        await text(labels, root, ...labelPath);
        const train = await openDataset(`rafdb:${temporary.path(given)}#train`);
        assert.deepEqual(train.classes, [
          'surprise',
          'fear',
          'disgust',
          'happiness',
          'sadness',
          'anger',
          'neutral',
        ]);
        assert.deepEqual([train.label(0), train.label(1), train.size], [4, 0, 2]);
        assert.match(train.describe(0), /train_00001_aligned\.jpg$/);
        const test = await openDataset(`rafdb:${temporary.path(given)}#test`);
        assert.deepEqual([test.size, test.label(0)], [1, 6]);
      }
    });

    it('says what is wrong', async () => {
      const root = temporary.path('raf1');
      await rejectsWith(
        openDataset(`rafdb:${root}`),
        'ERR_DATASET_FORMAT',
        'choose a split',
        '#train',
      );
      await rejectsWith(openDataset(`rafdb:${root}#val`), 'ERR_DATASET_FORMAT', "'val'", '#test');
      await rejectsWith(
        openDataset(`rafdb:${temporary.path()}#train`),
        'ERR_DATASET_FORMAT',
        'list_patition_label.txt',
      );
      await text(`${labels}train_00003.jpg 2\n`, 'raf1', 'list_patition_label.txt');
      await rejectsWith(
        openDataset(`rafdb:${root}#train`),
        'ERR_FILE_NOT_FOUND',
        'train_00003_aligned.jpg',
        'line 4',
      );
      await text('train_00001.jpg 8\n', 'raf1', 'list_patition_label.txt');
      await rejectsWith(openDataset(`rafdb:${root}#train`), 'ERR_LABEL_RANGE', 'line 1', '1..7');
      await text('train_00001.jpg happy\n', 'raf1', 'list_patition_label.txt');
      await rejectsWith(openDataset(`rafdb:${root}#train`), 'ERR_DATASET_FORMAT', 'happy');
    });
  });
});
