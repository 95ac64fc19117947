import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import sharp from 'sharp';
import { decodeImage } from '../../lib/images/decode.js';
import type { ImageInput, TensorLike } from '../../lib/images/input.js';
import { Predictor } from '../../lib/predict/predictor.js';
import { makeModel, noise, side } from '../api-support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

describe('images as Blobs, streams and data: URLs', function () {
  this.timeout(60_000);
  const temporary = temporaryDirectory();
  const rgb = Buffer.from(noise(1));
  let png: Buffer;
  let file: string;

  before(async () => {
    png = await sharp(rgb, { raw: { width: side, height: side, channels: 3 } })
      .png()
      .toBuffer();
    file = temporary.path('face.png');
    await writeFile(file, png);
  });

  const percent = (bytes: Buffer): string =>
    [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');

  it('are decoded like files', async () => {
    const halves = [png.subarray(0, 100), png.subarray(100)];
    const inputs: Record<string, ImageInput> = {
      blob: new Blob(halves),
      file: new File(halves, 'face.png'),
      'Node stream': createReadStream(file, { highWaterMark: 64 }),
      'web stream': new Response(png).body!,
      iterable: Readable.from(halves),
      base64: new URL(`data:image/png;base64,${png.toString('base64')}`),
      'base64 in capitals': new URL(`data:;charset=x; BASE64,${png.toString('base64')}`),
      percent: new URL(`data:image/png,${percent(png)}`),
    };
    for (const [what, input] of Object.entries(inputs)) {
      assert.ok(rgb.equals((await decodeImage(input)).data), what);
    }
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="2" height="2"/>';
    const url = new URL(`data:image/svg+xml,${svg}`);
    assert.equal((await decodeImage(url, { formats: ['svg'] })).width, 2);
  });

  it('are refused with the reason', async () => {
    const empty = { name: 'upload' };
    await rejectsWith(decodeImage(new Blob([]), empty), 'ERR_IMAGE_DECODE', 'upload', 'empty');
    await rejectsWith(decodeImage(Readable.from([]), empty), 'ERR_IMAGE_DECODE', 'empty');
    await rejectsWith(decodeImage(new URL('data:image/png')), 'ERR_IMAGE_DECODE', 'comma');
    const long = new URL(`data:image/png;base64,${'A'.repeat(5000)}`);
    const error = await rejectsWith(decodeImage(long), 'ERR_IMAGE_DECODE', 'data:image/png');
    assert.ok(error.message.length < 200, 'a data: URL is not repeated whole');
    const words = Readable.from(['text']);
    await rejectsWith(decodeImage(words, empty), 'ERR_INVALID_ARGUMENT', 'upload', "'text'");
    const broken = Readable.from(
      (async function* () {
        yield png.subarray(0, 10);
        throw new Error('connection lost');
      })(),
    );
    await rejectsWith(decodeImage(broken, empty), 'ERR_READ', 'upload', 'connection lost');
    await rejectsWith(decodeImage(createReadStream('nowhere.png')), 'ERR_READ', 'nowhere.png');
    const huge = { size: 2 ** 40, arrayBuffer: () => Promise.resolve(new ArrayBuffer(0)) };
    await rejectsWith(decodeImage(huge), 'ERR_READ', 'limit');
    const gone = { size: 1, arrayBuffer: () => Promise.reject(new Error('file changed')) };
    await rejectsWith(decodeImage(gone), 'ERR_READ', 'file changed');
    await rejectsWith(decodeImage(new URL('https://e.org/a.png')), 'ERR_INVALID_ARGUMENT', 'fetch');
  });

  it('end when told to, also where nothing comes any more', async () => {
    const stalled = new Readable({ read: () => undefined });
    const controller = new AbortController();
    const work = decodeImage(stalled, { signal: controller.signal });
    setImmediate(() => controller.abort());
    await rejectsWith(work, 'ERR_ABORTED');
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(stalled.destroyed);
  });

  it('are predicted, several at once too', async () => {
    await using model = await makeModel();
    const predictor = new Predictor(model);
    const expected = await predictor.predict(file);
    const { label, score } = await predictor.predict(createReadStream(file));
    assert.deepEqual({ label, score }, { label: expected.label, score: expected.score });
    const many = await predictor.predict([new Blob([png]), createReadStream(file)]);
    assert.deepEqual(
      many.map((prediction) => prediction.label),
      [expected.label, expected.label],
    );
  });
});

describe('batches as tensors', function () {
  this.timeout(60_000);

  const tensor = (shape: number[], dtype: string, values: ArrayLike<number>): TensorLike => ({
    shape,
    dtype,
    data: () => Promise.resolve(values),
  });

  it('give what arrays give', async () => {
    await using model = await makeModel();
    const bytes = noise(2);
    const shape = [2, side, side, 3];
    const expected = await model.forward({ images: bytes });
    const whole = await model.forward({ images: tensor(shape, 'int32', Int32Array.from(bytes)) });
    assert.deepEqual(whole, expected);
    const floats = Float32Array.from(bytes, (value) => value / 100 - 1);
    const normalised = await model.forward({ images: tensor(shape, 'float32', floats) });
    assert.deepEqual(normalised, await model.forward({ images: floats }));
  });

  it('are refused where they do not fit', async () => {
    await using model = await makeModel();
    const forward = (shape: number[], dtype: string, values: ArrayLike<number>) =>
      model.forward({ images: tensor(shape, dtype, values) });
    const values = new Float32Array(side * side * 3);
    const shape = [1, side, side, 3];
    await rejectsWith(
      forward([side, side, 3], 'int32', values),
      'ERR_SHAPE_MISMATCH',
      '[32, 32, 3]',
    );
    await rejectsWith(forward([1, 3, side, side], 'float32', values), 'ERR_SHAPE_MISMATCH');
    await rejectsWith(forward(shape, 'bool', values), 'ERR_INVALID_ARGUMENT', 'bool');
    await rejectsWith(
      forward(
        shape,
        'int32',
        values.map(() => 300),
      ),
      'ERR_INVALID_ARGUMENT',
      '300',
    );
    await rejectsWith(
      forward(
        shape,
        'float32',
        values.map(() => NaN),
      ),
      'ERR_NOT_FINITE',
    );
    await rejectsWith(forward(shape, 'float32', values.slice(1)), 'ERR_SHAPE_MISMATCH');
  });
});
