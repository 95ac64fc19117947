import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import sharp from 'sharp';
import { cropFace } from '../../lib/faces/align.js';
import { syntheticDataset } from '../../lib/data/formats/synthetic.js';
import type { Model } from '../../lib/model/model.js';
import { Predictor } from '../../lib/predict/predictor.js';
import { makeModel, side } from '../api-support.js';
import { command, jsonLines, startChild } from './support.js';
import { temporaryDirectory } from '../data/data-support.js';

/** Two faces on each wide picture, one of them without a score; none elsewhere; an error on tall ones. */
const twoFaces = `{
  async detect({ data, width, height }) {
    if (data.length !== width * height * 3) throw new Error('no RGB');
    if (height > width) throw new RangeError('too tall\\nfor me');
    if (width < 2 * height) return [];
    return [
      { box: { left: width / 2, top: 0, width: height / 2, height: height / 2 }, score: 0.875 },
      { box: { left: 0, top: 0, width: height, height } },
    ];
  },
}`;

describe('command line: faces in photos', function () {
  this.timeout(120_000);
  const temporary = temporaryDirectory();
  let model: Model;
  let directory: string;
  let photo: string;
  let empty: string;

  const module = async (name: string, text: string): Promise<string> => {
    const file = temporary.path(name);
    await writeFile(file, text);
    return file;
  };
  const predict = (faces: string, ...rest: string[]) =>
    command('predict', '--model', directory, '--faces', faces, ...rest);

  before(async () => {
    model = await makeModel();
    directory = temporary.path('model');
    await model.save(directory);
    const dataset = syntheticDataset(7, { split: 2 });
    const pixels = await dataset.load(3);
    const { data, width, height } = pixels;
    const face = await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer();
    photo = temporary.path('two faces.png');
    empty = temporary.path('empty.png');
    await sharp(face).extend({ right: width, background: '#345' }).toFile(photo);
    await sharp(face).toFile(empty);
  });
  after(() => model.close());

  for (const [what, name, text] of [
    ['an object', 'object.mjs', `export default ${twoFaces};`],
    ['a function', 'function.mjs', `export default () => (${twoFaces});`],
    [
      'an object after a top-level await',
      'await.mjs',
      `const found = await Promise.resolve(${twoFaces});\nexport default found;`,
    ],
    ['a CommonJS module', 'plain.cjs', `module.exports = async () => (${twoFaces});`],
    [
      'a compiled module',
      'compiled.cjs',
      `Object.defineProperty(exports, '__esModule', { value: true });\nexports.default = ${twoFaces};`,
    ],
  ] as const) {
    it(`takes a detector that is ${what}`, async () => {
      const { status, stdout, stderr } = await predict(await module(name, text), photo, '--json');
      assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
      assert.equal((jsonLines(stdout)[0]!['faces'] as unknown[]).length, 2);
    });
  }

  it('prints an object a photo: every face with box and scores, largest first', async () => {
    const file = await module('detector.mjs', `export default ${twoFaces};`);
    const { status, stdout } = await predict(file, '--json', photo, empty);
    assert.equal(status, 0);
    const [two, none, ...more] = jsonLines(stdout);
    assert.deepEqual(more, []);
    assert.deepEqual(none, { file: empty, faces: [] });
    assert.equal(two!['file'], photo);
    const { width, height } = await sharp(photo).metadata();
    assert.equal(width, 2 * height);
    const boxes = [
      { left: 0, top: 0, width: height, height },
      { left: width / 2, top: 0, width: height / 2, height: height / 2 },
    ];
    const faces = two!['faces'] as Record<string, unknown>[];
    assert.deepEqual(
      faces.map(({ box, detectionScore }) => [box, detectionScore]),
      [
        [boxes[0], undefined],
        [boxes[1], 0.875],
      ],
    );
    const cut = await Promise.all(boxes.map((box) => cropFace(photo, box, { size: side })));
    const expected = await new Predictor(model).predict(cut);
    faces.forEach((face, i) => {
      const { label, score, intensity } = expected[i]!;
      assert.equal(face['label'], label);
      assert.ok(Math.abs((face['score'] as number) - score) < 1e-4);
      assert.ok(Math.abs((face['intensity'] as number) - intensity) < 1e-4);
      assert.equal(Object.keys(face['scores'] as object).length, 7);
    });
  });

  it('tells the best classes of each face with --top-k', async () => {
    const file = await module('ranked.mjs', `export default ${twoFaces};`);
    const { stdout } = await predict(file, '--json', '--top-k', '3', photo);
    const [{ faces }] = jsonLines(stdout) as [
      { faces: { label: string; top: { label: string }[] }[] },
    ];
    assert.equal(faces.length, 2);
    for (const { label, top } of faces) {
      assert.equal(top.length, 3);
      assert.equal(top[0]!.label, label);
    }
  });

  it('prints a line a face, and says where there is none', async () => {
    const file = await module('detector.mjs', `export default ${twoFaces};`);
    const { status, stdout } = await predict(file, photo, empty);
    assert.equal(status, 0);
    const [first, second, third, ...rest] = stdout.trimEnd().split('\n');
    assert.deepEqual(rest, []);
    const { height } = await sharp(photo).metadata();
    const line = /^(.*faces\.png) +[a-z]+ +[01]\.\d{4} {2}intensity [01]\.\d\d {2}at /;
    assert.match(first!, line);
    assert.ok(first!.endsWith(`at 0,0 size ${height}x${height}`), first);
    assert.match(second!, line);
    assert.ok(second!.endsWith('  face 0.88') || second!.endsWith('  face 0.87'), second);
    assert.match(third!, /empty\.png +no face$/);
  });

  it('goes on after photos that cannot be read or on which the detector fails', async () => {
    const file = await module('detector.mjs', `export default ${twoFaces};`);
    const tall = temporary.path('tall.png');
    await sharp(photo).rotate(90).toFile(tall);
    const args = ['predict', '--model', directory, '--faces', file, '--json'];
    const { end } = startChild(...args, temporary.path('no.png'), tall, photo);
    const { status, stdout } = await end;
    assert.equal(status, 1);
    const lines = jsonLines(stdout);
    assert.deepEqual(
      lines.map(({ error }) => (error as { code?: string } | undefined)?.code),
      ['ERR_FILE_NOT_FOUND', 'ERR_FACE_DETECTOR', undefined],
    );
    const { message } = lines[1]!['error'] as { message: string };
    assert.ok(message.endsWith("detector.mjs' failed: too tall; for me"), message);
    const people = await predict(file, temporary.path('no.png'), photo);
    assert.equal(people.status, 1);
    assert.match(people.stderr, /^countenance: .*no\.png.*\ncountenance: 1 of 2 images failed\n$/);
  });

  it('refuses with one line what is no detector', async () => {
    const folder = temporary.path('folder');
    await mkdir(folder);
    for (const [detector, code, part] of [
      [temporary.path('none.mjs'), 'ERR_FILE_NOT_FOUND', 'none.mjs'],
      [folder, 'ERR_NOT_A_FILE', 'folder'],
      [await module('syntax.mjs', 'export default {'), 'ERR_FACE_DETECTOR', 'does not load'],
      [await module('empty.mjs', ''), 'ERR_FACE_DETECTOR', 'detect(image)'],
      [await module('other.mjs', 'export default { find() {} };'), 'ERR_FACE_DETECTOR', 'detect'],
      [
        await module('throws.mjs', 'export default () => { throw new Error("no model file"); };'),
        'ERR_FACE_DETECTOR',
        'no model file',
      ],
      [
        await module('box.mjs', 'export default { detect: () => [{ left: 1 }] };'),
        'ERR_INVALID_ARGUMENT',
        'without a box',
      ],
    ] as const) {
      const { status, stdout, stderr } = await predict(detector, photo);
      assert.deepEqual({ status, stdout }, { status: 1, stdout: '' });
      assert.match(stderr, new RegExp(`^countenance: .* \\(${code}\\)\n$`), detector);
      assert.ok(stderr.includes(part), stderr);
    }
  });

  it('tells what to install where Human is missing', async function () {
    if (process.env['COUNTENANCE_PEERS'] !== undefined) return this.skip();
    const { status, stdout, stderr } = await predict('human', photo);
    assert.deepEqual({ status, stdout }, { status: 1, stdout: '' });
    assert.match(stderr, /^countenance: .* \(ERR_PEER_MISSING\)\n$/);
    const packages =
      '@vladmandic/human @tensorflow/tfjs-core @tensorflow/tfjs-converter ' +
      '@tensorflow/tfjs-backend-wasm';
    assert.ok(stderr.includes(`npm install ${packages} `), stderr);
  });
});
