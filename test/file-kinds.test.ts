import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { readCsvRows } from '../lib/data/csv-reader.js';
import type { ErrorCode } from '../lib/errors.js';
import { foreignKind, otherKind, plainText, standIn, startLength } from '../lib/file-kinds.js';
import { decodeImage } from '../lib/images/decode.js';
import { loadTextEmbeddings } from '../lib/text/file.js';
import { readNpy } from '../lib/weights/npy.js';
import { openWeights } from '../lib/weights/open.js';
import { encodeSafetensors, readSafetensors } from '../lib/weights/safetensors.js';
import { rejectsWith, temporaryDirectory } from './data/data-support.js';
import { makePyTorch, makeZip, pickle } from './weights/pickle-builder.js';

const pointer =
  'version https://git-lfs.github.com/spec/v1\n' +
  'oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 46830571\n';
const page = '\n<!DOCTYPE html>\n<html><head><title>Google Drive</title></head></html>';

/** A file that is none of what it is given for, and what is said of it. */
const strangers: Record<string, { bytes: Buffer; says: string }> = {
  'an empty file': { bytes: Buffer.alloc(0), says: 'it is empty' },
  'a Git LFS pointer': {
    bytes: Buffer.from(pointer),
    says: "it is a Git LFS pointer, not the file itself: run 'git lfs pull', or download the file",
  },
  'an HTML page': {
    bytes: Buffer.from(page),
    says: 'it is an HTML page, not the file that it leads to: download the file itself',
  },
  'an XML answer': {
    bytes: Buffer.from('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'),
    says: "it is an XML text, often a server's answer in place of the file: download it again",
  },
};

describe('a file that is something else', () => {
  const directory = temporaryDirectory();
  const store = async (name: string, bytes: Uint8Array | string): Promise<string> => {
    await writeFile(directory.path(name), bytes);
    return directory.path(name);
  };

  /** Every reader of files that people download. */
  const readers: readonly [string, (file: string) => Promise<unknown>, ErrorCode][] = [
    ['w.pth', openWeights, 'ERR_PYTORCH'],
    ['w.pth.tar', openWeights, 'ERR_PYTORCH'],
    ['pytorch_model.bin', openWeights, 'ERR_PYTORCH'],
    ['w.safetensors', openWeights, 'ERR_SAFETENSORS'],
    ['model.safetensors.index.json', openWeights, 'ERR_SAFETENSORS'],
    ['weights', openWeights, 'ERR_SAFETENSORS'],
    ['read.safetensors', readSafetensors, 'ERR_SAFETENSORS'],
    ['text.npy', readNpy, 'ERR_NPY'],
    ['clip.npy', loadTextEmbeddings, 'ERR_NPY'],
    ['clip.safetensors', loadTextEmbeddings, 'ERR_SAFETENSORS'],
    ['clip.json', loadTextEmbeddings, 'ERR_TEXT_EMBEDDINGS'],
  ];
  for (const [kind, { bytes, says }] of Object.entries(strangers)) {
    it(`is called ${kind} by every reader`, async () => {
      for (const [name, read, code] of readers) {
        const file = await store(name, bytes);
        const { message } = await rejectsWith(read(file), code, `'${file}'`);
        assert.ok(message.endsWith(`: ${says}`), message);
      }
    });
  }

  it('is called so where it is an image or a table', async () => {
    for (const kind of ['a Git LFS pointer', 'an HTML page']) {
      const { bytes, says } = strangers[kind]!;
      const image = await store('face.jpg', bytes);
      await rejectsWith(
        decodeImage(image),
        'ERR_IMAGE_DECODE',
        `'${image}'`,
        says.replace('it is ', 'is '),
      );
      const table = await store('fer2013.csv', bytes);
      await rejectsWith(readCsvRows(table), 'ERR_DATASET_FORMAT', `'${table}'`, says);
    }
    const svg =
      '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>';
    const file = await store('face.svg', svg);
    assert.equal((await decodeImage(file, { formats: ['svg'] })).width, 8);
    assert.deepEqual(await readCsvRows(await store('empty.csv', '')), []);
  });

  it('is called so in the directory where it was found', async () => {
    await mkdir(directory.path('hub'));
    await store('hub/model.safetensors', pointer);
    await rejectsWith(openWeights(directory.path('hub')), 'ERR_SAFETENSORS', 'Git LFS pointer');
  });

  it('is a ZIP archive around weights, which are named', async () => {
    const weights = makePyTorch(pickle.of('}'));
    const archive = makeZip([
      { name: 'msceleb/readme.txt', content: Buffer.from('hello') },
      { name: 'msceleb/resnet18.pth', content: weights },
    ]);
    for (const name of ['resnet18.zip', 'resnet18.pth', 'resnet18.safetensors']) {
      const text =
        "it is a ZIP archive around 'msceleb/resnet18.pth': unpack it and give that file";
      await rejectsWith(openWeights(await store(name, archive)), 'ERR_PYTORCH', name, text);
    }
    const file = await store('text.npy', archive);
    await rejectsWith(readNpy(file), 'ERR_NPY', 'it is a ZIP archive: unpack it');
    const other = makeZip([{ name: 'readme.txt', content: Buffer.from('hello') }]);
    await rejectsWith(openWeights(await store('other.zip', other)), 'ERR_PYTORCH', 'one data.pkl');
  });

  it('is weights given as an array, or the other way around', async () => {
    const tensors = new Map([['a', { shape: [1], data: Float32Array.of(1) }]]);
    const safetensors = Buffer.concat(encodeSafetensors(tensors));
    await rejectsWith(readNpy(await store('a.npy', safetensors)), 'ERR_NPY', 'a safetensors file');
    await rejectsWith(readNpy(await store('b.npy', pickle.of('}'))), 'ERR_NPY', 'it is a pickle');
    const npy = Buffer.from('\x93NUMPY\x01\x00', 'latin1');
    const array = await store('w.safetensors', npy);
    await rejectsWith(openWeights(array), 'ERR_SAFETENSORS', 'it is a NumPy array (.npy)');
    const torch = await store('w2.safetensors', makePyTorch(pickle.of('}')));
    await rejectsWith(readSafetensors(torch), 'ERR_SAFETENSORS', 'it is a ZIP archive');
  });

  it('is of another program', async () => {
    const tar = Buffer.alloc(1024);
    tar.write('resnet18.pth', 0);
    tar.write('ustar', 257);
    const cases: readonly [Buffer | string, string][] = [
      [gzipSync('weights'), 'a gzip archive: unpack it'],
      ['BZh91AY&SY', 'a bzip2 archive'],
      ['\xfd7zXZ\0\0', 'an xz archive'],
      ['\x28\xb5\x2f\xfd\x04', 'a zstd archive'],
      ['7z\xbc\xaf\x27\x1c\0', 'a 7z archive'],
      ['Rar!\x1a\x07\x01', 'a RAR archive'],
      [tar, 'a tar archive'],
      ['\x89HDF\r\n\x1a\n\0', 'an HDF5 file'],
      ['GGUF\x03\0\0\0', 'a GGUF file'],
      ['%PDF-1.7', 'a PDF document'],
      ['\x89PNG\r\n\x1a\n', 'an image'],
      ['\xff\xd8\xff\xe0', 'an image'],
    ];
    for (const [content, what] of cases) {
      const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
      const file = await store('w.pth', bytes);
      await rejectsWith(openWeights(file), 'ERR_PYTORCH', `it is ${what}`);
    }
  });

  it('is a text, which is quoted on one line and not at length', async () => {
    const answer = 'Access to this model is restricted.\r\nPlease log in to the hub first.';
    const says = "it is a text that starts with 'Access to this model is restricted. Plea...'";
    const pth = await store('w.pth', answer);
    await rejectsWith(openWeights(pth), 'ERR_PYTORCH', says);
    await rejectsWith(openWeights(await store('w', answer)), 'ERR_SAFETENSORS', says);
    await rejectsWith(readNpy(await store('w.npy', answer)), 'ERR_NPY', says);
    const json = await store('w.bin', '{"error":"Repository not found"}');
    await rejectsWith(openWeights(json), 'ERR_SAFETENSORS', 'error message (Repository not found)');
  });

  it('is not seen in what is of the right kind', () => {
    const right = [
      makePyTorch(pickle.of('}')),
      Buffer.concat(encodeSafetensors(new Map())),
      Buffer.from('cos\nsystem\n.'),
      Buffer.from([0x80, 2]),
      Buffer.from('pixels,emotion\n1 2 3,4\n'),
    ];
    for (const bytes of right) assert.equal(foreignKind(bytes), undefined);
    assert.equal(standIn(Buffer.from('versions https://git-lfs.github.com/')), undefined);
    assert.equal(plainText(Buffer.from([0, 1, 2])), undefined);
    assert.equal(plainText(Buffer.from('\n  \n')), undefined);
    assert.equal(otherKind(Buffer.alloc(600, 0xff)), undefined);
    // A character of two bytes that the end of what is looked at cuts in half.
    assert.match(plainText(Buffer.from(`x${'é'.repeat(startLength)}`))!, /starts with 'xéé/);
  });

  it('costs no time, whatever it contains', async () => {
    const comments = Buffer.from('<!-- -->'.repeat(64));
    const started = performance.now();
    for (let i = 0; i < 1000; i++) standIn(comments);
    assert.ok(performance.now() - started < 2000);
    await rejectsWith(openWeights(await store('c.pth', comments)), 'ERR_PYTORCH', '<!-- -->');
    assert.equal((await readFile(directory.path('c.pth'))).length, 512);
  });
});
