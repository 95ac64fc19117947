import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeImage } from '../../lib/images/decode.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

const python = '/usr/bin/python3';

/** What Pillow's convert('RGB') gives for a file. */
interface Expected {
  readonly width: number;
  readonly height: number;
  /** Base64; null where Pillow has no answer. */
  readonly rgb: string | null;
}

/** Two decoders of JPEG and two conversions of 16 bits round differently. */
const tolerance = 2;

/** Files that are refused, with a part of the reason. */
const refused: Readonly<Record<string, string>> = {
  'float01.tif': '32-bit floats, whose black and white are not known',
  'float255.tif': '32-bit floats',
  'float-rgb.tif': '32-bit floats',
  'double.tif': '64-bit floats',
  'integer32.tif': 'of 32 bits',
  'signed16.tif': 'not unsigned integers',
  'cmyk16.tif': 'CMYK of 16 bits',
  'lab.tif': 'CIELab',
  'ycbcr.tif': 'YCbCr',
};

describe('every kind of pixel', () => {
  const temporary = temporaryDirectory();
  let expected: Readonly<Record<string, Expected>>;

  before(async function () {
    try {
      execFileSync(python, ['-c', 'import PIL'], { stdio: 'ignore' });
    } catch {
      console.log('      skipped: no python3 with Pillow on this machine');
      this.skip();
    }
    const script = join(__dirname, 'pillow_images.py');
    execFileSync(python, [script, temporary.path()], { stdio: ['ignore', 'ignore', 'pipe'] });
    const text = await readFile(temporary.path('expected.json'), 'utf8');
    expected = JSON.parse(text) as Readonly<Record<string, Expected>>;
  });

  it('is read as by Pillow', async () => {
    const wrong: string[] = [];
    const names = Object.keys(expected).filter((name) => !(name in refused));
    assert.ok(names.length >= 75, `${names.length} files`);
    for (const name of names) {
      const { width, height, rgb } = expected[name]!;
      assert.ok(rgb !== null, `Pillow reads ${name}`);
      const image = await decodeImage(temporary.path(name));
      assert.deepEqual([image.width, image.height], [width, height], name);
      const wanted = Buffer.from(rgb, 'base64');
      assert.equal(image.data.length, wanted.length, name);
      const off = image.data.reduce((most, v, i) => Math.max(most, Math.abs(v - wanted[i]!)), 0);
      if (off > tolerance) wrong.push(`${name}: ${off}`);
    }
    assert.deepEqual(wrong, []);
  });

  it('or refused with the reason and what to do', async () => {
    for (const [name, reason] of Object.entries(refused)) {
      assert.ok(name in expected, name);
      const file = temporary.path(name);
      const parts = [name, reason, 'convert it to RGB or gray of 8 or 16 bits'];
      await rejectsWith(decodeImage(file), 'ERR_IMAGE_DECODE', ...parts);
    }
  });
});
