import assert from 'node:assert/strict';
import sharp from 'sharp';
import {
  Predictor,
  type DetectedFace,
  type FaceDetector,
  type Model,
  type RawImage,
} from '../../lib/index.js';
import {
  alignFace,
  alignmentTemplate,
  cropFace,
  humanDetector,
  type FivePoints,
  type HumanLike,
  type Point,
} from '../../lib/faces/index.js';
import { similarity } from '../../lib/faces/align.js';
import { faces as drawnFaces, makeModel, side } from '../api-support.js';
import { rejectsWith } from '../data/data-support.js';

/** The template scaled, rotated by an angle in radians and shifted. */
function place(scale: number, angle: number, dx: number, dy: number): FivePoints {
  const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  return alignmentTemplate.map(({ x, y }) => ({
    x: cos * x - sin * y + dx,
    y: sin * x + cos * y + dy,
  })) as unknown as FivePoints;
}

const colours = ['#f00', '#0f0', '#00f', '#ff0', '#0ff'];

/** A black picture with a coloured disc at each point. */
async function discs(points: readonly Point[], width: number, radius: number): Promise<RawImage> {
  const circles = points.map(
    ({ x, y }, i) => `<circle cx="${x}" cy="${y}" r="${radius}" fill="${colours[i]!}"/>`,
  );
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${width}">
    <rect width="100%" height="100%" fill="#000"/>${circles.join('')}</svg>`;
  const data = await sharp(Buffer.from(svg)).removeAlpha().raw().toBuffer();
  return { data: new Uint8Array(data), width, height: width };
}

/** Centre of mass of the pixels of one of the discs' colours. */
function centreOf({ data, width }: RawImage, colour: string): Point {
  const want = [1, 2, 3].map((place) => colour[place] === 'f');
  let [sum, x, y] = [0, 0, 0];
  for (let pixel = 0; pixel * 3 < data.length; pixel++) {
    const rgb = data.subarray(pixel * 3, pixel * 3 + 3);
    const on = want.map((full, c) => (full ? rgb[c]! : 255 - rgb[c]!));
    const weight = Math.min(...on) > 128 ? 1 : 0;
    sum += weight;
    x += weight * ((pixel % width) + 0.5);
    y += weight * (Math.floor(pixel / width) + 0.5);
  }
  return { x: x / sum, y: y / sum };
}

describe('faces in photos', function () {
  this.timeout(120_000);

  describe('alignFace', () => {
    for (const [what, scale, angle, size] of [
      ['turned and large', 3, 0.5, 112],
      ['upside down', 2, Math.PI, 112],
      ['small', 0.8, -0.3, 112],
      ['to another size', 2.5, -0.2, 224],
    ] as const) {
      it(`puts the five points on the template: ${what}`, async () => {
        const width = 480;
        const centre = 56 * scale;
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        const points = place(
          scale,
          angle,
          width / 2 - centre * (c - s),
          width / 2 - centre * (s + c),
        );
        const image = await discs(points, width, 4 * scale);
        const aligned = await alignFace(image, points, { size });
        assert.deepEqual([aligned.width, aligned.height], [size, size]);
        alignmentTemplate.forEach((target, i) => {
          const found = centreOf(aligned, colours[i]!);
          const far = Math.hypot(
            found.x - (target.x * size) / 112,
            found.y - (target.y * size) / 112,
          );
          assert.ok(far < 0.5, `${colours[i]!}: ${found.x}, ${found.y}`);
        });
      });
    }

    it('finds the least squares, not only exact fits', () => {
      const to = place(1.7, 0.4, 5, -3).map(({ x, y }, i) => ({
        x: x + Math.sin(3 * i),
        y: y + Math.cos(5 * i),
      }));
      const cost = (map: readonly number[]): number =>
        alignmentTemplate.reduce((sum, { x, y }, i) => {
          const dx = map[0]! * x + map[1]! * y + map[2]! - to[i]!.x;
          const dy = map[3]! * x + map[4]! * y + map[5]! - to[i]!.y;
          return sum + dx * dx + dy * dy;
        }, 0);
      const best = similarity(alignmentTemplate, to);
      const least = cost(best);
      const [a, b] = [best[0], best[3]];
      for (const [da, db, dx, dy] of [
        [1e-3, 0, 0, 0],
        [-1e-3, 0, 0, 0],
        [0, 1e-3, 0, 0],
        [0, -1e-3, 0, 0],
        [0, 0, 0.01, 0],
        [0, 0, 0, -0.01],
      ] as const) {
        const other = [a + da, -b - db, best[2] + dx, b + db, a + da, best[5] + dy];
        assert.ok(cost(other) > least);
      }
    });

    it('refuses points that are none', async () => {
      const image = await discs([], 64, 1);
      const points = [...alignmentTemplate] as Point[];
      const align = (bad: unknown) => () => alignFace(image, bad as FivePoints);
      await rejectsWith(align(points.slice(1)), 'ERR_INVALID_ARGUMENT', 'five points');
      await rejectsWith(
        align([...points.slice(0, 4), null]),
        'ERR_INVALID_ARGUMENT',
        'right mouth',
      );
      await rejectsWith(
        align([{ x: NaN, y: 1 }, ...points.slice(1)]),
        'ERR_NOT_FINITE',
        'left eye',
      );
      await rejectsWith(align(points.map(() => ({ x: 5, y: 5 }))), 'ERR_INVALID_ARGUMENT', 'face');
      await rejectsWith(
        () => alignFace(image, alignmentTemplate, { size: 0 }),
        'ERR_INVALID_ARGUMENT',
      );
    });
  });

  describe('cropFace', () => {
    it('cuts a square with a margin, black outside of the image', async () => {
      const image: RawImage = {
        data: new Uint8Array(40 * 30 * 3).fill(200),
        width: 40,
        height: 30,
      };
      const box = { left: 20, top: 5, width: 10, height: 20 };
      const { data } = await cropFace(image, box, { size: 30, margin: 0.25 });
      // A square of 30 from (10, 0): its last columns reach to 40.
      assert.ok(data.every((value) => value === 200));
      const edge = await cropFace(image, { ...box, left: 35 }, { size: 30, margin: 0.25 });
      assert.equal(edge.data[(15 * 30 + 2) * 3], 200);
      assert.equal(edge.data[(15 * 30 + 25) * 3], 0);
    });

    it('refuses a box or a margin that is none', async () => {
      const image = await discs([], 64, 1);
      const box = { left: 0, top: 0, width: 0, height: 5 };
      await rejectsWith(() => cropFace(image, box), 'ERR_INVALID_ARGUMENT', 'width 0');
      await rejectsWith(() => cropFace(image, { ...box, width: NaN }), 'ERR_INVALID_ARGUMENT');
      const margin = -1;
      await rejectsWith(
        () => cropFace(image, { ...box, width: 5 }, { margin }),
        'ERR_INVALID_ARGUMENT',
      );
    });
  });

  describe('predictFaces', () => {
    let model: Model;
    before(async () => {
      model = await makeModel();
    });
    after(() => model.close());

    const withFaces = (...found: DetectedFace[]): FaceDetector => ({
      detect: () => Promise.resolve(found),
    });
    const box = { left: 0, top: 0, width: 60, height: 60 };

    it('predicts each face, largest first, as the same face cut out would be', async () => {
      const image = await drawnFaces(1).load(0);
      const small = { box: { left: 10, top: 10, width: 30, height: 30 }, score: 0.5 };
      const points = place(0.5, 0.1, 5, 5);
      const predictor = new Predictor(model, { faces: withFaces(small, { box, points }) });
      const [first, second, ...more] = await predictor.predictFaces(image);
      assert.ok(first && second && more.length === 0);
      assert.deepEqual(first.box, box);
      assert.deepEqual(first.points, points);
      assert.equal(first.detectionScore, undefined);
      assert.deepEqual([second.box, second.detectionScore], [small.box, 0.5]);
      const alone = await predictor.predict([
        await alignFace(image, points, { size: side }),
        await cropFace(image, small.box, { size: side }),
      ]);
      assert.deepEqual(first.scores, alone[0]!.scores);
      assert.deepEqual(second.scores, alone[1]!.scores);
    });

    it('gives an empty array where there is no face, one array a picture', async () => {
      const image = await drawnFaces(1).load(0);
      const none = new Predictor(model, { faces: withFaces() });
      assert.deepEqual(await none.predictFaces(image), []);
      assert.deepEqual(await none.predictFaces([image, image]), [[], []]);
      assert.deepEqual(await none.predictFaces([]), []);
      const one = new Predictor(model, { faces: withFaces({ box }) });
      assert.deepEqual(
        (await one.predictFaces([image, image])).map(({ length }) => length),
        [1, 1],
      );
    });

    it('refuses a missing detector, a bad one and bad faces; passes its error on', async () => {
      const image = await drawnFaces(1).load(0);
      const failing =
        (faces: unknown, picture: unknown = image) =>
        () =>
          new Predictor(model, { faces: faces as FaceDetector }).predictFaces(picture as RawImage);
      await rejectsWith(failing(undefined), 'ERR_INVALID_ARGUMENT', 'faces');
      await rejectsWith(failing({}), 'ERR_INVALID_ARGUMENT', 'detect');
      await rejectsWith(failing({ detect: () => null }), 'ERR_INVALID_ARGUMENT', 'array');
      await rejectsWith(failing({ detect: () => [{}] }), 'ERR_INVALID_ARGUMENT', 'box');
      const nowhere = { ...box, width: -1 };
      await rejectsWith(failing(withFaces({ box: nowhere })), 'ERR_INVALID_ARGUMENT', 'width -1');
      await rejectsWith(failing(withFaces({ box }), 'nowhere.jpg'), 'ERR_FILE_NOT_FOUND');
      const broken = { detect: () => Promise.reject(new RangeError('no model')) };
      await assert.rejects(failing(broken), RangeError);
      const signal = AbortSignal.abort();
      const predictor = new Predictor(model, { faces: withFaces({ box }) });
      await rejectsWith(() => predictor.predictFaces(image, { signal }), 'ERR_ABORTED');
    });
  });

  describe('humanDetector', () => {
    /** Human's result for one face, and the tensors that are open. */
    function fakeHuman(mesh: number[][]): HumanLike & { open: number; running: number } {
      const human = {
        open: 0,
        running: 0,
        tf: {
          tensor3d(values: Uint8Array, shape: [number, number, number], dtype: 'int32') {
            assert.equal(values.length, shape[0] * shape[1] * shape[2]);
            assert.equal(dtype, 'int32');
            human.open += 1;
            return { dispose: () => void (human.open -= 1) };
          },
        },
        async detect() {
          assert.equal(human.running++, 0, 'Human is asked for one picture at a time');
          await new Promise((resolve) => setTimeout(resolve, 5));
          human.running -= 1;
          return { face: [{ box: [1, 2, 30, 40], boxScore: 0.9, score: 0.8, mesh }] };
        },
      };
      return human;
    }
    const image: RawImage = { data: new Uint8Array(50 * 40 * 3), width: 50, height: 40 };

    it('takes boxes, scores and the five points of a whole mesh', async () => {
      const human = fakeHuman(Array.from({ length: 478 }, (_, i) => [i, 1000 - i, 0]));
      const detector = humanDetector(human);
      const [faces, again] = await Promise.all([detector.detect(image), detector.detect(image)]);
      assert.deepEqual(faces, again);
      assert.equal(human.open, 0);
      const [face] = faces;
      assert.deepEqual(face!.box, { left: 1, top: 2, width: 30, height: 40 });
      assert.equal(face!.score, 0.9);
      assert.deepEqual(
        face!.points!.map(({ x }) => x),
        [83, 312.5, 1, 61, 291],
      );
    });

    it('gives no points without a mesh, and frees the tensor when Human fails', async () => {
      const human = fakeHuman([[1, 1, 1]]);
      const [face] = await humanDetector(human).detect(image);
      assert.equal(face!.points, undefined);
      human.detect = () => Promise.reject(new Error('no backend'));
      await assert.rejects(humanDetector(human).detect(image), /no backend/);
      assert.equal(human.open, 0);
      await rejectsWith(() => humanDetector({} as HumanLike), 'ERR_INVALID_ARGUMENT', 'human');
    });
  });
});
