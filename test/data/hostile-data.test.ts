import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { readNpyInteger } from '../../lib/data/formats/npy-integer.js';
import { openDataset } from '../../lib/data/registry.js';
import type { ErrorCode } from '../../lib/errors.js';
import { Random } from '../../lib/philox.js';
import { encodeTextEmbeddings, loadTextEmbeddings } from '../../lib/text/file.js';
import { readNpy } from '../../lib/weights/npy.js';
import { rejectsWith, temporaryDirectory } from './data-support.js';
import { npyScalar, npyText, writeBelow, writeFace } from './synthetic-files.js';
import { survives } from '../weights/support.js';

/** The possible errors for a damaged list, table or array. */
const refusals: readonly ErrorCode[] = [
  'ERR_DATASET_FORMAT',
  'ERR_DATASET_EMPTY',
  'ERR_DATASET_CLASS_EMPTY',
  'ERR_LABEL_RANGE',
  'ERR_FILE_NOT_FOUND',
  'ERR_NOT_A_FILE',
  'ERR_READ',
  'ERR_INVALID_ARGUMENT',
  'ERR_NPY',
  'ERR_SAFETENSORS',
  'ERR_TEXT_EMBEDDINGS',
  'ERR_SHAPE_MISMATCH',
  'ERR_NOT_FINITE',
  'ERR_ZERO_NORM',
];

interface Parser {
  /** A small valid file. */
  readonly whole: Uint8Array;
  /** Its location. */
  readonly file: string;
  readonly read: () => Promise<unknown>;
}

describe('hostile data sets and text embeddings', function () {
  this.timeout(300_000);
  const temporary = temporaryDirectory();
  const parsers = new Map<string, () => Parser>();

  const add = (name: string, place: string, whole: Uint8Array | string, read: Parser['read']) =>
    parsers.set(name, () => ({ whole: Buffer.from(whole), file: temporary.path(place), read }));
  const dataset = (spec: string, path: string) => async (): Promise<unknown> => {
    const opened = await openDataset(spec.replace('PATH', temporary.path(path)));
    for (let i = 0; i < opened.size; i++) opened.label(i);
    return opened;
  };

  add(
    'csv',
    'csv/list.csv',
    'path,label,split\n"a,""1"".png",anger,train\nb.png,neutral,test\n',
    dataset('csv:PATH', 'csv/list.csv'),
  );
  add(
    'csv of votes',
    'csv/votes.csv',
    'path,happiness,neutral\na.png,3,1\nb.png,0.5,4e0\n',
    dataset('csv:PATH', 'csv/votes.csv'),
  );
  add(
    'fer2013.csv',
    'fer2013/fer2013.csv',
    `emotion,pixels,Usage\n3,${'7 '.repeat(48 * 48)},Training\n`,
    dataset('fer2013:PATH#train', 'fer2013'),
  );
  add(
    'fer2013new.csv',
    'ferplus/fer2013new.csv',
    'Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n' +
      'Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0\n',
    dataset('ferplus:PATH#train', 'ferplus'),
  );
  add(
    "RAF-DB's list",
    'rafdb/list_patition_label.txt',
    'train_00001.jpg 5\ntest_0001.jpg 1\n',
    dataset('rafdb:PATH#train', 'rafdb'),
  );
  add(
    "AffectNet's list",
    'affectnet/training.csv',
    'subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n' +
      '1/a.jpg,2,3,20,20,1;2,3,0.1,-0.2\n',
    dataset('affectnet8:PATH#train', 'affectnet'),
  );
  add(
    "CK+'s label",
    'ckplus/Emotion/S005/001/S005_001_00000002_emotion.txt',
    '   3.0000000e+00\n',
    dataset('ckplus:PATH', 'ckplus'),
  );
  add('a label in .npy', 'label.npy', npyScalar('<i8', new Uint8Array(8)), () =>
    readNpyInteger(temporary.path('label.npy')),
  );
  add('a label as text in .npy', 'text.npy', npyText('3'), () =>
    readNpyInteger(temporary.path('text.npy')),
  );
  const rows = Float32Array.of(1, 2, 3, 4);
  add(
    'text embeddings in .npy',
    'rows.npy',
    npyScalar('<f4', new Uint8Array(rows.buffer), '(2, 2)'),
    () => loadTextEmbeddings(temporary.path('rows.npy')),
  );
  add('text embeddings in .json', 'rows.json', '{"anger":[1,2],"neutral":[3,-4e0]}', () =>
    loadTextEmbeddings(temporary.path('rows.json')),
  );
  add(
    'text embeddings in .safetensors',
    'rows.safetensors',
    Buffer.concat(
      encodeTextEmbeddings({ shape: [2, 2], data: rows, classes: ['a', 'b'], source: 'test' }),
    ),
    () => loadTextEmbeddings(temporary.path('rows.safetensors')),
  );

  before(async () => {
    await writeFace(temporary.path('rafdb/Image/aligned/train_00001_aligned.jpg'), 'anger', 0);
    await writeFace(temporary.path('affectnet/Manually_Annotated_Images/1/a.jpg'), 'anger', 0);
    await writeFace(temporary.path('ferplus/FER2013Train/fer0000000.png'), 'anger', 0);
    for (const name of ['validation.csv', 'Manually_Annotated_Images/2/b.jpg']) {
      await writeBelow(temporary.path('affectnet', name), '');
    }
    for (const frame of [1, 2]) {
      const name = `S005_001_0000000${frame}.png`;
      const path = temporary.path('ckplus/cohn-kanade-images/S005/001', name);
      await writeFace(path, 'anger', frame);
    }
    for (const [, parser] of parsers) {
      const { file, whole } = parser();
      await writeBelow(file, whole);
    }
  });

  for (const [name, parser] of parsers) {
    describe(name, () => {
      let whole: Uint8Array;
      let file: string;
      let read: () => Promise<unknown>;
      before(() => ({ whole, file, read } = parser()));
      afterEach(() => writeFile(file, whole));

      const survivesBytes = async (bytes: Uint8Array): Promise<void> => {
        await writeFile(file, bytes);
        await survives(read, refusals);
      };

      it('is read as it is, and survives a cut at every byte', async () => {
        await read();
        for (let length = 0; length < whole.length; length++) {
          // The long column of pixels is the same everywhere.
          if (length > 200 && length < whole.length - 200 && length % 41 !== 0) continue;
          await survivesBytes(whole.subarray(0, length));
        }
      });

      it('survives flipped bits, and noise', async () => {
        const random = new Random(5, 0);
        for (let i = 0; i < 150; i++) {
          const broken = Buffer.from(whole);
          broken[random.below(broken.length)]! ^= 1 << random.below(8);
          await survivesBytes(broken);
        }
        for (let i = 0; i < 60; i++) {
          const head = whole.subarray(0, random.below(whole.length));
          const noise = Uint8Array.from({ length: random.below(400) }, () => random.below(256));
          await survivesBytes(Buffer.concat([head, noise]));
        }
      });

      it('refuses 3 GiB of zeros without reading them all', async () => {
        await truncate(file, 0);
        await truncate(file, 3 * 2 ** 30);
        const before = process.memoryUsage().rss;
        assert.ok(await survives(read, refusals, 4000));
        assert.ok(process.memoryUsage().rss - before < 300e6, 'no more than it needs');
      });
    });
  }

  it('bounds the fields of a row, and a quote without end', async () => {
    const file = temporary.path('csv', 'wide.csv');
    await writeFile(file, `path,label\n${','.repeat(1e6)}\n`);
    await rejectsWith(openDataset(`csv:${file}`), 'ERR_DATASET_FORMAT', 'line 2', 'fields');
    await writeFile(file, `path,label\n"${'a\n'.repeat(1e6)}`);
    await rejectsWith(openDataset(`csv:${file}`), 'ERR_DATASET_FORMAT', 'line 2', '1 MiB');
  });

  it('takes no picture from outside of its folder', async () => {
    await writeFace(temporary.path('outside.jpg'), 'anger', 0);
    await writeFace(temporary.path('rafdb/Image/train_x_aligned.jpg'), 'anger', 0);
    const list = parsers.get("RAF-DB's list")!();
    for (const name of ['train_/../../train_x', 'train_/../../../../outside']) {
      await writeFile(list.file, `${name}.jpg 5\n`);
      await rejectsWith(list.read(), 'ERR_FILE_NOT_FOUND', 'does not exist');
    }
    const affectnet = parsers.get("AffectNet's list")!();
    const [header, row] = Buffer.from(affectnet.whole).toString().split('\n') as [string, string];
    for (const path of ['../../outside.jpg', '1/../../../outside.jpg', '/etc/hostname']) {
      await writeFile(affectnet.file, `${header}\n${row.replace('1/a.jpg', path)}\n`);
      await survives(affectnet.read, ['ERR_FILE_NOT_FOUND', 'ERR_DATASET_FORMAT']).then((code) =>
        assert.ok(code, `${path} was taken`),
      );
    }
    await writeFile(affectnet.file, affectnet.whole);
    await writeFile(list.file, list.whole);
  });

  it('refuses .npy headers that claim what is not there', async () => {
    const file = temporary.path('claims.npy');
    const head = Buffer.from('\x93NUMPY\x02\x00\x00\x00\x00\x00', 'latin1');
    head.writeUInt32LE(0xffff_fff0, 8);
    await writeFile(file, head);
    await rejectsWith(readNpy(file), 'ERR_NPY', 'claims 4294967280 bytes');
    for (const shape of [
      '(9007199254740993,)',
      '(4294967296, 4294967296)',
      '(0, 9e999)',
      '(1e9)',
    ]) {
      await writeFile(file, npyScalar('<f4', new Uint8Array(16), shape));
      await rejectsWith(readNpy(file), 'ERR_NPY', 'claims.npy');
    }
  });

  it('says long nonsense in short', async () => {
    const list = parsers.get("RAF-DB's list")!();
    await writeFile(list.file, 'x'.repeat(1e7));
    const { message } = await rejectsWith(list.read(), 'ERR_DATASET_FORMAT', 'line 1');
    assert.ok(message.length < 1000);
    await writeFile(list.file, list.whole);
  });
});
