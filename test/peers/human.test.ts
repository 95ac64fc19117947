import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import sharp from 'sharp';
import { type DetectedFace, type FaceDetector } from '../../lib/index.js';
import { decodeImage } from '../../lib/data/index.js';
import {
  alignFace,
  alignmentTemplate,
  openHumanDetector,
  type Point,
} from '../../lib/faces/index.js';
import { similarity } from '../../lib/faces/align.js';
import { makeModel } from '../api-support.js';
import { command, jsonLines } from '../cli/support.js';
import { temporaryDirectory } from '../data/data-support.js';
import { peer } from './support.js';

/** The photo of people that comes with the package: this repository contains none. */
const photo = (): string => {
  const { resolve } = createRequire(join(process.env['COUNTENANCE_PEERS']!, 'package.json'));
  return join(dirname(resolve('@vladmandic/human')), '../assets/samples.jpg');
};

const distance = (a: Point, b: Point): number => Math.hypot(a.x - b.x, a.y - b.y);

describe('@vladmandic/human', function () {
  this.timeout(300_000);
  const temporary = temporaryDirectory();
  let detector: FaceDetector;
  let faces: readonly DetectedFace[];

  before(async () => {
    detector = await openHumanDetector();
    faces = await detector.detect(await decodeImage(photo()));
  });

  it('finds the faces of a photo, each with a box, a score and five points in place', async () => {
    assert.ok(faces.length >= 3, `${faces.length} faces`);
    const { width, height } = await sharp(photo()).metadata();
    for (const { box, score, points } of faces) {
      assert.ok(box.left >= 0 && box.left + box.width <= width + 1, JSON.stringify(box));
      assert.ok(box.top >= 0 && box.top + box.height <= height + 1, JSON.stringify(box));
      assert.ok(score! >= 0.2 && score! <= 1);
      const [leftEye, rightEye, nose, leftMouth, rightMouth] = points!;
      assert.ok(leftEye.x < rightEye.x && leftMouth.x < rightMouth.x, 'left and right');
      assert.ok(Math.max(leftEye.y, rightEye.y) < Math.min(leftMouth.y, rightMouth.y), 'upright');
      for (const { x, y } of [leftEye, rightEye, nose, leftMouth, rightMouth]) {
        const [dx, dy] = [x - box.left - box.width / 2, y - box.top - box.height / 2];
        assert.ok(Math.abs(dx) < box.width / 2 && Math.abs(dy) < box.height / 2, 'in its box');
      }
    }
  });

  it('sees an aligned face upright in the middle, its points where the transform puts them', async () => {
    const best = faces.reduce((a, b) => (b.score! > a.score! ? b : a));
    const points = best.points!;
    const size = 448;
    const { data } = await alignFace(photo(), points, { size });
    // With space around it, as in a photo: the detector expects a head.
    const framed = await sharp(data, { raw: { width: size, height: size, channels: 3 } })
      .extend({ top: size, bottom: size, left: size, right: size, background: '#777' })
      .png()
      .toBuffer();
    const [face] = await detector.detect(await decodeImage(framed));
    assert.ok(face?.points, 'the face is found again');
    const found = face.points.map(({ x, y }) => ({ x: (x - size) / size, y: (y - size) / size }));
    // A real face, slightly rotated, fits the template only roughly ...
    alignmentTemplate.forEach(({ x, y }, i) => {
      const far = distance(found[i]!, { x: x / 112, y: y / 112 });
      assert.ok(far < 0.15, `point ${i} is ${far.toFixed(3)} of the side from the template`);
    });
    // ... but the positions of its own points are known.
    const [a, b, dx, c, d, dy] = similarity(alignmentTemplate, points);
    points.forEach(({ x, y }, i) => {
      const [u, v] = [x - dx, y - dy];
      const place = { x: (d * u - b * v) / (a * d - b * c), y: (a * v - c * u) / (a * d - b * c) };
      const far = distance(found[i]!, { x: place.x / 112, y: place.y / 112 });
      assert.ok(far < 0.05, `point ${i} is ${far.toFixed(3)} of the side away`);
    });
  });

  it('gives an empty array where there is no face', async () => {
    const grey = { create: { width: 320, height: 240, channels: 3, background: '#777' } } as const;
    const picture = await decodeImage(await sharp(grey).png().toBuffer());
    assert.deepEqual(await detector.detect(picture), []);
  });

  it('gives the same again, keeps no tensor, and finds as many as it is told to', async () => {
    const tf = peer('@tensorflow/tfjs-core') as { memory(): { numTensors: number } };
    const tensors = tf.memory().numTensors;
    const picture = await decodeImage(photo());
    const [first, second] = await Promise.all([detector.detect(picture), detector.detect(picture)]);
    assert.deepEqual(first, faces);
    assert.deepEqual(second, faces);
    assert.equal(tf.memory().numTensors, tensors);
    const one = await openHumanDetector({ maxFaces: 1, minConfidence: 0.4 });
    assert.equal((await one.detect(picture)).length, 1);
  });

  it('is run by the command', async () => {
    const model = await makeModel();
    const directory = temporary.path('model');
    await model.save(directory);
    model.close();
    const blank = temporary.path('blank.png');
    const grey = { create: { width: 200, height: 200, channels: 3, background: '#777' } } as const;
    await sharp(grey).toFile(blank);
    const args = ['predict', '--model', directory, '--faces', 'human', '--json', photo(), blank];
    const { status, stdout, stderr } = await command(...args);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    const [found, none] = jsonLines(stdout) as { faces: Record<string, unknown>[] }[];
    assert.deepEqual(none!.faces, []);
    assert.equal(found!.faces.length, faces.length);
    const boxes = faces
      .map(({ box }) => box)
      .sort((a, b) => b.width * b.height - a.width * a.height);
    assert.deepEqual(
      found!.faces.map(({ box }) => box),
      boxes,
    );
    for (const { label, detectionScore } of found!.faces) {
      assert.equal(typeof label, 'string');
      assert.equal(typeof detectionScore, 'number');
    }
  });
});
