import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { decodeImage } from '../../lib/images/decode.js';
import type { ImageInput, TensorLike } from '../../lib/images/input.js';
import { Random } from '../../lib/philox.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

/** Noise pixels: `count` bytes. */
function noise(count: number, seed = 1): Buffer {
  const random = new Random(seed, 99);
  return Buffer.from(Uint8Array.from({ length: count }, () => random.below(256)));
}

const width = 20;
const height = 14;
const rgb = noise(width * height * 3);
const picture = (): sharp.Sharp => sharp(rgb, { raw: { width, height, channels: 3 } });

function tensor(shape: number[], dtype: string, values: ArrayLike<number>): TensorLike {
  return { shape, dtype, data: () => Promise.resolve(values) };
}

describe('decodeImage', () => {
  const temporary = temporaryDirectory();

  it('takes a path, a file URL, a Buffer, an ArrayBuffer and a sharp instance', async () => {
    const file = temporary.path('a face #1.png');
    const png = await picture().png().toBuffer();
    await writeFile(file, png);
    const arrayBuffer = new Uint8Array(png).buffer;
    const instance = sharp(file);
    for (const input of [
      file,
      pathToFileURL(file),
      png,
      new Uint8Array(png),
      arrayBuffer,
      instance,
      instance,
    ]) {
      const image = await decodeImage(input);
      assert.deepEqual([image.width, image.height], [width, height]);
      assert.ok(rgb.equals(image.data));
    }
    await instance.png().toBuffer(); // still usable by its owner
  });

  it('turns gray, palette, alpha, 16-bit and CMYK files into RGB as Pillow does', async () => {
    const gray = noise(width * height);
    const grayPng = await sharp(gray, { raw: { width, height, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    const repeated = Buffer.from([...gray].flatMap((value) => [value, value, value]));
    assert.ok(repeated.equals((await decodeImage(grayPng)).data));

    // Colours under a transparent pixel remain: alpha is dropped, not blended.
    const rgba = noise(width * height * 4, 2);
    const rgbaPng = await sharp(rgba, { raw: { width, height, channels: 4 } })
      .png()
      .toBuffer();
    const dropped = Buffer.from([...rgba].filter((_, i) => i % 4 !== 3));
    assert.ok(dropped.equals((await decodeImage(rgbaPng)).data));

    for (const bytes of [
      await picture().png({ palette: true }).toBuffer(),
      await picture().toColourspace('rgb16').png().toBuffer(),
      await picture().toColourspace('cmyk').jpeg().toBuffer(),
      await picture().webp().toBuffer(),
      await picture().gif().toBuffer(),
    ]) {
      const image = await decodeImage(bytes);
      assert.equal(image.data.length, width * height * 3);
    }
  });

  it('decodes JPEG and PNG to the same bytes as Pillow', async function () {
    const python = '/usr/bin/python3';
    try {
      execFileSync(python, ['-c', 'import PIL'], { stdio: 'ignore' });
    } catch {
      console.log('      skipped: no python3 with Pillow on this machine');
      this.skip();
    }
    const smooth = await picture().resize(101, 67, { kernel: 'cubic' }).raw().toBuffer();
    const source = (): sharp.Sharp =>
      sharp(smooth, { raw: { width: 101, height: 67, channels: 3 } });
    const files: Record<string, Buffer> = {
      'plain.jpg': await source().jpeg({ quality: 85 }).toBuffer(),
      'progressive.jpg': await source()
        .jpeg({ progressive: true, chromaSubsampling: '4:4:4' })
        .toBuffer(),
      'gray.jpg': await source().grayscale().jpeg().toBuffer(),
      'profile.jpg': await source().withIccProfile('p3').jpeg().toBuffer(),
      'palette.png': await source().png({ palette: true }).toBuffer(),
      'alpha.png': await source().ensureAlpha(0.3).png().toBuffer(),
    };
    for (const [name, bytes] of Object.entries(files)) {
      const file = temporary.path(name);
      await writeFile(file, bytes);
      const program =
        'import sys;from PIL import Image;sys.stdout.buffer.write(Image.open(sys.argv[1]).convert("RGB").tobytes())';
      const expected = execFileSync(python, ['-c', program, file]);
      assert.ok(expected.equals((await decodeImage(file)).data), name);
    }
  });

  it('applies the EXIF orientation', async () => {
    const plain = await picture().png().toBuffer();
    const turned = await sharp(plain).withMetadata({ orientation: 6 }).png().toBuffer();
    const image = await decodeImage(turned);
    assert.deepEqual([image.width, image.height], [height, width]);
    const expected = await sharp(plain).rotate(90).raw().toBuffer();
    assert.ok(expected.equals(image.data));
  });

  it('takes pixels in memory with 1 to 4 channels, also ImageData', async () => {
    const bytes = noise(12);
    const at = (...indices: number[]): number[] => indices.map((i) => bytes[i]!);
    const first = async (input: ImageInput): Promise<number[]> => [
      ...(await decodeImage(input)).data,
    ];
    assert.deepEqual(await first({ data: bytes, width: 2, height: 2, channels: 3 }), [...bytes]);
    assert.deepEqual(
      await first({ data: bytes.subarray(0, 2), width: 2, height: 1 }),
      at(0, 0, 0, 1, 1, 1),
    );
    assert.deepEqual(
      await first({ data: bytes.subarray(0, 4), width: 2, height: 1 }),
      at(0, 0, 0, 2, 2, 2),
    );
    const imageData = { data: new Uint8ClampedArray(bytes.subarray(0, 8)), width: 1, height: 2 };
    assert.deepEqual(await first(imageData), at(0, 1, 2, 4, 5, 6));
    const floats = { data: Float32Array.of(0, 254.6, 127.4), width: 1, height: 1 };
    assert.deepEqual(await first(floats), [0, 255, 127]);

    const bgr = { width: 1, height: 2, order: 'BGR' } as const;
    assert.deepEqual(await first({ ...bgr, data: bytes.subarray(0, 6) }), at(2, 1, 0, 5, 4, 3));
    assert.deepEqual(await first({ ...bgr, data: bytes.subarray(0, 8) }), at(2, 1, 0, 6, 5, 4));
    assert.deepEqual(await first({ ...floats, order: 'BGR' }), [127, 255, 0]);
    assert.deepEqual(await first({ ...floats, order: 'RGB' }), [0, 255, 127]);
  });

  it('takes tensors by their structure', async () => {
    const values = Int32Array.from({ length: 12 }, (_, i) => i * 20);
    for (const shape of [
      [2, 2, 3],
      [1, 2, 2, 3],
    ]) {
      const image = await decodeImage(tensor(shape, 'int32', values));
      assert.deepEqual([...image.data], [...values]);
    }
    const gray = await decodeImage(tensor([1, 2, 1], 'float32', Float32Array.of(3, 200.2)));
    assert.deepEqual([...gray.data], [3, 3, 3, 200, 200, 200]);
  });

  it('takes a real TensorFlow.js tensor', async function () {
    interface Core {
      tensor3d(v: number[], s: number[], t: string): TensorLike & { dispose(): void };
      setBackend(name: string): Promise<boolean>;
    }
    let tf: Core;
    try {
      tf = (await import('@tensorflow/tfjs-core')) as unknown as Core;
      await import('@tensorflow/tfjs-backend-cpu');
      await tf.setBackend('cpu');
    } catch {
      console.log('      skipped: @tensorflow/tfjs-core is not installed');
      return this.skip();
    }
    const real = tf.tensor3d([1, 2, 3, 4, 5, 255], [1, 2, 3], 'int32');
    assert.deepEqual([...(await decodeImage(real)).data], [1, 2, 3, 4, 5, 255]);
    real.dispose();
  });

  it('names a missing file, a directory, an empty file and a text file', async () => {
    await rejectsWith(
      decodeImage(temporary.path('none.jpg')),
      'ERR_FILE_NOT_FOUND',
      'none.jpg',
      'does not exist',
    );
    await rejectsWith(
      decodeImage(pathToFileURL(temporary.path('none.jpg'))),
      'ERR_FILE_NOT_FOUND',
      'none.jpg',
    );
    await mkdir(temporary.path('folder.jpg'));
    await rejectsWith(
      decodeImage(temporary.path('folder.jpg')),
      'ERR_NOT_A_FILE',
      'folder.jpg',
      'directory',
    );
    await writeFile(temporary.path('empty.png'), '');
    await rejectsWith(
      decodeImage(temporary.path('empty.png')),
      'ERR_IMAGE_DECODE',
      'empty.png',
      'empty',
    );
    await writeFile(temporary.path('text.png'), 'this is no picture');
    await rejectsWith(
      decodeImage(temporary.path('text.png')),
      'ERR_IMAGE_DECODE',
      'text.png',
      'is a text',
      'this is no picture',
    );
    await rejectsWith(decodeImage(temporary.path('text.png', 'x')), 'ERR_FILE_NOT_FOUND');
    await rejectsWith(decodeImage('bad\0name'), 'ERR_READ');
    await rejectsWith(
      decodeImage(new URL('https://example.org/a.jpg')),
      'ERR_INVALID_ARGUMENT',
      'file:',
    );
  });

  it('does not hang on a named pipe', async function () {
    const pipe = temporary.path('pipe');
    try {
      execFileSync('mkfifo', [pipe]);
    } catch {
      return this.skip();
    }
    await rejectsWith(decodeImage(pipe), 'ERR_NOT_A_FILE', 'pipe', 'regular file');
  });

  it('refuses truncated files of every format', async () => {
    const large = sharp(noise(200 * 150 * 3), { raw: { width: 200, height: 150, channels: 3 } });
    for (const format of ['jpeg', 'png', 'webp', 'gif', 'tiff'] as const) {
      const whole = await large.clone().toFormat(format).toBuffer();
      for (const share of [0.02, 0.5, 0.9]) {
        const file = temporary.path(`truncated.${format}`);
        await writeFile(file, whole.subarray(0, Math.floor(whole.length * share)));
        await rejectsWith(decodeImage(file), 'ERR_IMAGE_DECODE', file, 'could not be decoded');
      }
    }
  });

  it('refuses a picture that claims absurd dimensions', async () => {
    const chunk = (type: string, data: Buffer): Buffer => {
      const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
      const out = Buffer.alloc(body.length + 8);
      out.writeUInt32BE(data.length, 0);
      body.copy(out, 4);
      out.writeUInt32BE(crc32(body), body.length + 4);
      return out;
    };
    const header = Buffer.alloc(13);
    header.writeUInt32BE(60_000, 0);
    header.writeUInt32BE(60_000, 4);
    header.set([8, 2, 0, 0, 0], 8);
    const bomb = Buffer.concat([
      Buffer.from('89504e470d0a1a0a', 'hex'),
      chunk('IHDR', header),
      chunk('IDAT', deflateSync(Buffer.alloc(1000))),
      chunk('IEND', Buffer.alloc(0)),
    ]);
    await rejectsWith(
      decodeImage(bomb, { name: 'bomb' }),
      'ERR_IMAGE_SIZE',
      "'bomb'",
      'pixel limit',
    );
  });

  it('refuses pixels that do not fit', async () => {
    const data = new Uint8Array(12);
    const refuses = (
      input: object,
      ...rest: Parameters<typeof rejectsWith> extends [unknown, ...infer R] ? R : never
    ): Promise<unknown> => rejectsWith(decodeImage(input as ImageInput), ...rest);
    await refuses({ data, width: 2, height: 2, channels: 5 }, 'ERR_IMAGE_CHANNELS', '5');
    await refuses({ data, width: 1, height: 2 }, 'ERR_IMAGE_CHANNELS', '6');
    const pair = { width: 2, height: 3, channels: 2 };
    await refuses({ ...pair, data, order: 'BGR' }, 'ERR_INVALID_ARGUMENT', '3 or 4 channels', '2');
    await refuses({ data, width: 2, height: 2, order: 'bgr' }, 'ERR_INVALID_ARGUMENT', 'RGB, BGR');
    await refuses({ data, width: 2, height: 1, channels: 3 }, 'ERR_IMAGE_SIZE', '12');
    await refuses({ data, width: 0, height: 2 }, 'ERR_IMAGE_SIZE', '0 x 2');
    await refuses({ data, width: 1e9, height: 1e9, channels: 3 }, 'ERR_IMAGE_SIZE', 'limit');
    await refuses({ data, width: 2.5, height: 2, channels: 3 }, 'ERR_IMAGE_SIZE', '2.5');
    await refuses(
      { data: Float32Array.of(1, NaN, 3), width: 1, height: 1 },
      'ERR_NOT_FINITE',
      'NaN',
    );
    await refuses(
      { data: Float32Array.of(1, -2, 3), width: 1, height: 1 },
      'ERR_INVALID_ARGUMENT',
      '-2',
    );
    await refuses(
      { data: Float32Array.of(0, 0.5, 1), width: 1, height: 1 },
      'ERR_INVALID_ARGUMENT',
      '0..255',
    );
    await refuses(
      { data: new Int16Array(3), width: 1, height: 1 },
      'ERR_INVALID_ARGUMENT',
      'Int16Array',
    );
    await refuses(tensor([2, 2], 'int32', data), 'ERR_IMAGE_SIZE', '[2, 2]');
    await refuses(tensor([2, 2, 2, 3], 'int32', data), 'ERR_IMAGE_SIZE', '[2, 2, 2, 3]');
    await refuses(tensor([1, 1, 7], 'int32', data), 'ERR_IMAGE_CHANNELS', '7');
    await refuses(tensor([1, 2, 3], 'bool', data), 'ERR_INVALID_ARGUMENT', 'bool');
    await refuses(
      tensor([1, 1, 3], 'float32', Float32Array.of(1, Infinity, 0)),
      'ERR_NOT_FINITE',
      'Infinity',
    );
    await refuses(tensor([1, 2, 3], 'int32', Int32Array.of(1, 2)), 'ERR_IMAGE_SIZE', '2 values');
    await refuses({}, 'ERR_INVALID_ARGUMENT', 'Object');
    for (const input of [null, undefined, 7, () => 7]) {
      await rejectsWith(
        decodeImage(input as unknown as ImageInput),
        'ERR_INVALID_ARGUMENT',
        'image',
      );
    }
  });

  it('stops before it starts when aborted', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    const error = await rejectsWith(decodeImage(rgb, { signal }), 'ERR_ABORTED');
    assert.equal((error.cause as Error).message, 'enough');
  });
});
