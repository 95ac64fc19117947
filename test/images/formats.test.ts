import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { decodeImage } from '../../lib/images/decode.js';
import { defaultFormats, imageFormats, type ImageFormat } from '../../lib/images/formats.js';
import { sniff } from '../../lib/images/sniff.js';
import { Predictor } from '../../lib/predict/predictor.js';
import { makeModel } from '../api-support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

const latin = (text: string): Buffer => Buffer.from(text.padEnd(64, '\0'), 'latin1');
const brands = (...names: string[]): Buffer => {
  const box = Buffer.from(`\0\0\0\0ftyp${names[0]!}\0\0\0\0${names.slice(1).join('')}`, 'latin1');
  box.writeUInt32BE(box.length);
  return Buffer.concat([box, Buffer.alloc(64)]);
};

/** Starts of files that cannot be decoded, and parts of what is said of them. */
const others: readonly (readonly [Buffer, ...string[]])[] = [
  [brands('heic', 'mif1', 'heic'), 'is HEIC (photos of iPhones)', 'heif-convert'],
  [brands('mif1', 'heix'), 'is HEIC', 'Most Compatible'],
  [latin('\xff\x0a\xfa\x1f'), 'is JPEG XL', 'djxl'],
  [latin('\0\0\0\x0cJXL \r\n\x87\n'), 'is JPEG XL', 'convert it to JPEG or PNG first'],
  [latin('\0\0\0\x0cjP  \r\n\x87\n'), 'is JPEG 2000', 'opj_decompress'],
  [latin('\xff\x4f\xff\x51\0'), 'is JPEG 2000'],
  [latin('BM\x9a\x01'), 'is BMP', 'ImageMagick'],
  [latin('%PDF-1.7\n'), 'is PDF', 'pdftoppm'],
  [latin('8BPS\0\x01'), 'is a Photoshop file'],
  [latin('P6 2 2 255\n'), 'is a PNM image'],
  [latin('\x1f\x8b\x08'), 'is a gzip archive', 'unpack'],
  [brands('isom', 'mp42'), 'is a video', 'ffmpeg'],
  [latin('RIFF\0\0\0\0AVI LIST'), 'is a video'],
  [
    Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n'),
    'is a Git LFS pointer, not the file itself',
    "'git lfs pull'",
  ],
  [Buffer.from('\n<!DOCTYPE html>\n<html><body>log in'), 'is an HTML page', 'download'],
  [Buffer.from('{"error":\n"not found"}'), `is a text that starts with '{"error": "not found"}'`],
  [Buffer.from([0, 1, 2, 3, 4, 5, 6, 7]), 'is in no known image format'],
  [Buffer.from([0xff]), 'is in no known image format'],
];

const svg =
  '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"><rect width="3" height="2"/></svg>';

describe('formats of images', () => {
  const temporary = temporaryDirectory();
  const create = { width: 6, height: 5, channels: 3, background: '#204060' } as const;

  it('are told by what a file is, not by its name', async () => {
    for (const format of ['jpeg', 'png', 'webp', 'avif', 'gif', 'tiff'] as const) {
      const bytes = await sharp({ create }).toFormat(format).toBuffer();
      assert.equal(sniff(bytes).format, format);
      const file = temporary.path(`${format}.png`);
      await writeFile(file, bytes);
      assert.equal((await decodeImage(file)).width, 6, format);
    }
    const bigEndian = Buffer.from('MM\0*\0\0\0\x08', 'latin1');
    assert.equal(sniff(bigEndian).format, 'tiff');
    assert.equal(sniff(brands('mif1', 'avif', 'miaf')).format, 'avif');
  });

  it('that cannot be decoded have their name, and the way to convert them', async () => {
    for (const [bytes, ...parts] of others) {
      const error = await rejectsWith(
        decodeImage(bytes, { name: 'a.jpg' }),
        'ERR_IMAGE_DECODE',
        "Image 'a.jpg'",
        ...parts,
      );
      assert.ok(error.message.length < 200, error.message);
    }
    await rejectsWith(decodeImage(Buffer.alloc(0)), 'ERR_IMAGE_DECODE', 'is empty');
  });

  it('are decoded only if they are allowed', async () => {
    const png = await sharp({ create }).png().toBuffer();
    const bytes = Buffer.from(svg);
    await rejectsWith(decodeImage(bytes), 'ERR_IMAGE_DECODE', 'is SVG, but only jpeg, png, webp');
    assert.equal((await decodeImage(bytes, { formats: ['svg'] })).width, 3);
    await rejectsWith(decodeImage(png, { formats: ['jpeg', 'webp'] }), 'ERR_IMAGE_DECODE', 'PNG');
    for (const formats of [[], 'png', ['jpg'], [null], {}]) {
      const wrong = { formats: formats as unknown as ImageFormat[] };
      await rejectsWith(decodeImage(png, wrong), 'ERR_INVALID_ARGUMENT', 'formats', 'jpeg, png');
    }
    assert.deepEqual([...defaultFormats].sort(), [...imageFormats].sort().filter(isDefault));
  });

  const isDefault = (format: ImageFormat): boolean =>
    ['jpeg', 'png', 'webp', 'avif', 'gif', 'tiff'].includes(format);

  it('cost nothing where they are not allowed: a bomb of uses is not rendered', async () => {
    const nested = Array.from({ length: 12 }, (_, i) => {
      const uses = `<use href="#g${i}"/>`.repeat(8);
      return `<g id="g${i + 1}">${uses}</g>`;
    });
    const bomb = `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><defs><rect id="g0" width="9" height="9"/>${nested.join('')}</defs><use href="#g12"/></svg>`;
    const before = process.cpuUsage();
    await rejectsWith(decodeImage(Buffer.from(bomb)), 'ERR_IMAGE_DECODE', 'SVG');
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 500_000, `${user + system} us`);
  });

  it('are those of a predictor, also of files and in photos', async function () {
    this.timeout(60_000);
    await using model = await makeModel();
    const detect = (): Promise<[]> => Promise.resolve([]);
    const predictor = new Predictor(model, { formats: ['png'], faces: { detect } });
    const gif = await sharp({ create }).gif().toBuffer();
    const png = await sharp({ create }).png().toBuffer();
    assert.deepEqual(predictor.formats, ['png']);
    assert.equal(typeof (await predictor.predict(png)).label, 'string');
    assert.deepEqual(await predictor.predictFaces(png), []);
    for (const work of [predictor.predict(gif), predictor.predictFaces(gif)]) {
      await rejectsWith(work, 'ERR_IMAGE_DECODE', 'is GIF, but only png are decoded here');
    }
    const wrong = { formats: ['exe'] as unknown as ImageFormat[] };
    await rejectsWith(() => new Predictor(model, wrong), 'ERR_INVALID_ARGUMENT', "'exe'");
  });
});

describe('URLs as strings', () => {
  const temporary = temporaryDirectory();

  it('are read like URLs', async () => {
    const create = { width: 6, height: 5, channels: 3, background: '#204060' } as const;
    const png = await sharp({ create }).png().toBuffer();
    const file = temporary.path('a face #1.png');
    await writeFile(file, png);
    const base64 = png.toString('base64');
    for (const input of [
      `data:image/png;base64,${base64}`,
      `DATA:;base64,${base64}`,
      `data:image/png;base64,${base64.slice(0, 40)}\n${base64.slice(40)}`,
      pathToFileURL(file).href,
      file,
    ]) {
      assert.equal((await decodeImage(input)).width, 6, input.slice(0, 30));
    }
  });

  it('and paths are not repeated whole in a message', async () => {
    const long = 'x'.repeat(11_000);
    const cases: [string, 'ERR_IMAGE_DECODE' | 'ERR_INVALID_ARGUMENT' | 'ERR_FILE_NOT_FOUND'][] = [
      [`data:image/jpeg;base64,${long}`, 'ERR_IMAGE_DECODE'],
      [`data:image/jpeg;base64;${long}`, 'ERR_IMAGE_DECODE'],
      [`https://example.org/${long}`, 'ERR_INVALID_ARGUMENT'],
      [`file://elsewhere/${long}`, 'ERR_INVALID_ARGUMENT'],
      [`file:///${long}.jpg`, 'ERR_FILE_NOT_FOUND'],
      [`${long}.jpg`, 'ERR_FILE_NOT_FOUND'],
    ];
    for (const [input, code] of cases) {
      const { message } = await rejectsWith(decodeImage(input), code);
      assert.ok(message.length < 330, `${message.length}: ${message}`);
    }
    const named = decodeImage(Buffer.from('no picture'), { name: long });
    assert.ok((await rejectsWith(named, 'ERR_IMAGE_DECODE')).message.length < 330);
    const path = temporary.path('none.jpg');
    await rejectsWith(decodeImage(path), 'ERR_FILE_NOT_FOUND', path);
  });
});
