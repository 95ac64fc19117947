import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { syntheticDataset } from '../../lib/data/formats/synthetic.js';
import type { ImageInput } from '../../lib/images/input.js';
import { Model } from '../../lib/model/model.js';
import { runPipeline } from '../../lib/predict/pipeline.js';
import { toPrediction } from '../../lib/predict/prediction.js';
import { Predictor } from '../../lib/predict/predictor.js';
import { syntheticTextEmbeddings } from '../../lib/text/synthetic.js';
import { watchImages } from '../api-support.js';
import { collect, rejectsWith, temporaryDirectory } from '../data/data-support.js';

const side = 32;
const classes = ['happiness', 'anger', 'fear', 'neutral'];
/** Another batch size may sum in another order; float32 through a network of 18 layers. */
const tolerance = 1e-4;

function makeModel(inputSize = side): Promise<Model> {
  return Model.create({
    backbone: 'resnet18',
    inputSize,
    textEmbeddings: syntheticTextEmbeddings(classes),
    seed: 3,
  });
}

/** Drawn faces at the model's size, as bytes. */
async function faces(
  count: number,
  size = side,
): Promise<{ data: Uint8Array; width: number; height: number }[]> {
  const dataset = syntheticDataset(count);
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const { data, width, height } = await dataset.load(i);
      const resized = await sharp(data, { raw: { width, height, channels: 3 } })
        .resize(size, size)
        .raw()
        .toBuffer();
      return { data: new Uint8Array(resized), width: size, height: size };
    }),
  );
}

function near(actual: number, expected: number, what: string): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual}, expected ${expected}`);
}

describe('predictor', function () {
  this.timeout(300_000);
  const temporary = temporaryDirectory();
  let model: Model;
  let predictor: Predictor;
  let images: { data: Uint8Array; width: number; height: number }[];

  before(async () => {
    model = await makeModel();
    predictor = new Predictor(model, { batchSize: 4 });
    images = await faces(11);
  });
  after(() => model.close());

  describe('a prediction', () => {
    it('is the softmax of the logits, with the distance from the own neutral', async () => {
      const image = images[0]!;
      const prediction = await predictor.predict(image);
      const outputs = await model.forward({ images: image.data });
      const logits = Array.from(outputs.logits.data);
      const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
      const sum = powers.reduce((total, power) => total + power, 0);
      assert.deepEqual(Object.keys(prediction.scores), classes);
      classes.forEach((name, i) => near(prediction.scores[name]!, powers[i]! / sum, name));
      assert.equal(prediction.label, classes[logits.indexOf(Math.max(...logits))]);
      assert.equal(prediction.score, prediction.scores[prediction.label]);

      const norm = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values));
      const [e, n] = [outputs.expression.data, outputs.neutral.data];
      const distance = norm(e.map((value, i) => value - n[i]!));
      const cosine = e.reduce((total, value, i) => total + value * n[i]!, 0) / (norm(e) * norm(n));
      assert.ok(Math.abs(prediction.neutralDistance / distance - 1) < tolerance);
      near(prediction.neutralSimilarity, cosine, 'cosine');
      near(prediction.intensity, (1 - cosine) / 2, 'intensity');
    });

    const vector = (...values: number[]): Float32Array => Float32Array.from(values);
    const intensityOf = (e: Float32Array, n: Float32Array): number =>
      toPrediction(vector(1, 2), { expression: e, neutral: n }, ['a', 'b']).intensity;

    it('has an intensity from 0 to 1', () => {
      assert.equal(intensityOf(vector(3, 4), vector(3, 4)), 0);
      assert.equal(intensityOf(vector(3, 4), vector(-3, -4)), 1);
      near(intensityOf(vector(1, 0), vector(0, 9)), 0.5, 'a right angle');
      assert.equal(intensityOf(vector(3, 4), vector(0, 0)), 0.5);
      assert.equal(intensityOf(vector(0, 0), vector(0, 0)), 0.5);
    });

    it('survives large logits and refuses NaN', async () => {
      const embedding = { expression: vector(1, 0), neutral: vector(0, 1) };
      const { scores } = toPrediction(vector(1000, -1000), embedding, ['a', 'b']);
      assert.deepEqual(scores, { a: 1, b: 0 });
      await rejectsWith(
        () => toPrediction(vector(NaN, 1), embedding, ['a', 'b']),
        'ERR_NOT_FINITE',
      );
      const broken = { expression: vector(NaN, 0), neutral: vector(0, 1) };
      await rejectsWith(() => toPrediction(vector(0, 1), broken, ['a', 'b']), 'ERR_NOT_FINITE');
    });
  });

  describe('batches', () => {
    it('gives one for one, and an array in order for an array larger than a batch', async () => {
      const all = await predictor.predict(images);
      assert.equal(all.length, 11);
      for (const [i, image] of images.entries()) {
        const one = await predictor.predict(image);
        assert.equal(all[i]!.label, one.label);
        near(all[i]!.score, one.score, `score ${i}`);
        near(all[i]!.intensity, one.intensity, `intensity ${i}`);
      }
      assert.ok(new Set(all.map(({ score }) => score)).size > 1, 'the images differ');
      assert.deepEqual(await predictor.predict([]), []);
    });

    it('embeds one and many', async () => {
      const { expression, neutral } = await predictor.embed(images[2]!);
      const outputs = await model.forward({ images: images[2]!.data });
      assert.deepEqual(expression, outputs.expression.data);
      assert.deepEqual(neutral, outputs.neutral.data);
      const many = await predictor.embed(images.slice(0, 6));
      assert.equal(many.length, 6);
      near(many[2]!.expression[7]!, expression[7]!, 'expression');
    });

    it('runs several calls at once', async () => {
      const alone = await predictor.predict(images);
      const [a, b] = await Promise.all([predictor.predict(images), predictor.predict(images)]);
      assert.deepEqual(a, alone);
      assert.deepEqual(b, alone);
    });
  });

  describe('images', () => {
    it('takes every form of the same picture', async () => {
      const { data, width, height } = images[1]!;
      const pipeline = sharp(data, { raw: { width, height, channels: 3 } }).png();
      const file = temporary.path('face.png');
      await pipeline.toFile(file);
      const rgba = new Uint8ClampedArray(width * height * 4);
      for (let i = 0; i < width * height; i++)
        rgba.set([...data.slice(3 * i, 3 * i + 3), 9], 4 * i);
      const tensor = {
        shape: [height, width, 3],
        dtype: 'int32',
        data: async () => Int32Array.from(data),
      };
      const forms: ImageInput[] = [
        images[1]!,
        file,
        pathToFileURL(file),
        await readFile(file),
        sharp(file),
        { data: rgba, width, height },
        { data: Float32Array.from(data), width, height, channels: 3 },
        tensor,
      ];
      const expected = await predictor.predict(images[1]!);
      for (const form of forms) assert.deepEqual(await predictor.predict(form), expected);
    });

    it('gives the same whether the forward pass resizes, as it does by default, or not', async () => {
      const sides = [70, 20, side, 45, 33, 64, 90];
      const given = (await Promise.all(sides.map((size) => faces(1, size)))).flat();
      for (const flip of [false, true]) {
        const run = async (rawLimit?: number) => {
          const handed = watchImages(model);
          const options = { batchSize: 4, flip, nameOf: String, rawLimit };
          const outcomes = await collect(runPipeline(model, given, options));
          handed.stop();
          assert.equal(handed.widths.length, sides.length);
          return { outcomes, widths: new Set(handed.widths) };
        };
        const byHost = await run(0);
        assert.deepEqual([...byHost.widths], [side]);
        const byDevice = await run();
        assert.deepEqual(byDevice.widths, new Set(sides));
        assert.deepEqual(byDevice.outcomes, byHost.outcomes);
        // Little memory: the largest must be resized first.
        const byBoth = await run(90 * 90 * 3 - 1);
        assert.ok(byBoth.widths.size > 1 && !byBoth.widths.has(90), [...byBoth.widths].join());
        assert.deepEqual(byBoth.outcomes, byHost.outcomes);
      }
    });

    it('names the file, or the place, of what it cannot use', async () => {
      const [missing, folder, text, truncated] = ['no.png', 'folder', 'text.png', 'cut.jpg'].map(
        (name) => temporary.path(name),
      ) as [string, string, string, string];
      await mkdir(folder);
      await writeFile(text, 'not a picture');
      const jpeg = await sharp(images[0]!.data, { raw: { width: side, height: side, channels: 3 } })
        .resize(200, 200)
        .jpeg()
        .toBuffer();
      await writeFile(truncated, jpeg.subarray(0, jpeg.length / 2));
      await rejectsWith(predictor.predict(missing), 'ERR_FILE_NOT_FOUND', missing);
      await rejectsWith(predictor.predict([images[0]!, folder]), 'ERR_NOT_A_FILE', folder);
      await rejectsWith(predictor.predict(text), 'ERR_IMAGE_DECODE', text);
      await rejectsWith(predictor.predict(truncated), 'ERR_IMAGE_DECODE', truncated);
      await rejectsWith(
        predictor.embed([images[0]!, Buffer.alloc(0)]),
        'ERR_IMAGE_DECODE',
        'images[1]',
      );
      const five = { data: new Uint8Array(20), width: 2, height: 2 };
      await rejectsWith(predictor.predict([five]), 'ERR_IMAGE_CHANNELS', 'images[0]', '5');
      const nan = { data: Float32Array.of(NaN, 0, 0), width: 1, height: 1 };
      await rejectsWith(predictor.predict([nan]), 'ERR_NOT_FINITE', 'images[0]', 'NaN');
      const thin = { data: new Uint8Array(3 * 40_000), width: 40_000, height: 1 };
      await rejectsWith(
        predictor.predict([images[0]!, thin]),
        'ERR_IMAGE_SIZE',
        'images[1]',
        '40000',
      );
      const number = 5 as unknown as ImageInput;
      await rejectsWith(predictor.predict([number]), 'ERR_INVALID_ARGUMENT', '5 (number)');
    });
  });

  describe('a stream', () => {
    it('predicts in order, from arrays and generators', async () => {
      const expected = await predictor.predict(images);
      const streams = [
        images,
        (async function* () {
          yield* images;
        })(),
      ];
      for (const source of streams) {
        const results = await collect(predictor.predictStream(source));
        assert.deepEqual(
          results.map(({ index }) => index),
          images.map((_, i) => i),
        );
        results.forEach(({ image, label, score }, i) => {
          assert.equal(image, images[i]);
          assert.equal(label, expected[i]!.label);
          near(score, expected[i]!.score, `score ${i}`);
        });
      }
    });

    it('answers a slow source image by image', async () => {
      // The source yields an image only after the prediction of the previous one has come out.
      let answered = 0;
      let release: () => void = () => undefined;
      async function* camera(): AsyncGenerator<ImageInput> {
        for (let i = 0; i < 5; i++) {
          while (answered < i) await new Promise<void>((resolve) => (release = resolve));
          yield images[i]!;
        }
      }
      for await (const { index } of predictor.predictStream(camera())) {
        assert.equal(index, answered);
        answered += 1;
        release();
      }
      assert.equal(answered, 5);
    });

    it('reads only some images ahead, and stops reading when the loop is left', async () => {
      let given = 0;
      let ended = false;
      async function* endless(): AsyncGenerator<ImageInput> {
        try {
          for (;;) yield images[given++ % images.length]!;
        } finally {
          ended = true;
        }
      }
      let taken = 0;
      for await (const { index } of predictor.predictStream(endless())) {
        assert.equal(index, taken);
        taken += 1;
        // At most four batches are held, and one image is about to be.
        assert.ok(given - taken <= 4 * predictor.batchSize + 1, `${given} given, ${taken} taken`);
        if (taken === 40) break;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.ok(ended, 'the source was told to end');
    });

    it('stops at a broken image, or tells of it and goes on', async () => {
      const source = [images[0]!, temporary.path('gone.png'), images[1]!, Buffer.from('x')];
      const seen: number[] = [];
      const all = async (): Promise<void> => {
        for await (const { index } of predictor.predictStream(source)) seen.push(index);
      };
      await rejectsWith(all(), 'ERR_FILE_NOT_FOUND', 'gone.png');
      assert.deepEqual(seen, [0]);
      const broken: [string, number][] = [];
      const rest = await collect(
        predictor.predictStream(source, {
          onError: ({ code }, image, index) => {
            assert.equal(image, source[index]);
            broken.push([code, index]);
          },
        }),
      );
      assert.deepEqual(
        rest.map(({ index }) => index),
        [0, 2],
      );
      assert.deepEqual(broken, [
        ['ERR_FILE_NOT_FOUND', 1],
        ['ERR_IMAGE_DECODE', 3],
      ]);
    });

    it('passes on an error of the source', async () => {
      async function* failing(): AsyncGenerator<ImageInput> {
        yield images[0]!;
        throw new RangeError('camera unplugged');
      }
      await assert.rejects(collect(predictor.predictStream(failing())), /camera unplugged/);
      const nothing = 5 as unknown as ImageInput[];
      await rejectsWith(collect(predictor.predictStream(nothing)), 'ERR_INVALID_ARGUMENT', '5');
    });
  });

  describe('stopping', () => {
    it('is aborted before and during, and works again after', async () => {
      const signal = AbortSignal.abort(new Error('enough'));
      const before = await rejectsWith(predictor.predict(images, { signal }), 'ERR_ABORTED');
      assert.equal((before.cause as Error).message, 'enough');

      const controller = new AbortController();
      const seen: number[] = [];
      const run = async (): Promise<void> => {
        const many = Array.from({ length: 50 }, (_, i) => images[i % images.length]!);
        for await (const { index } of predictor.predictStream(many, {
          signal: controller.signal,
        })) {
          seen.push(index);
          if (index === 5) controller.abort();
        }
      };
      await rejectsWith(run(), 'ERR_ABORTED');
      assert.equal(seen.at(-1), 5);

      // A source that never answers does not block an abort.
      const silent: AsyncIterable<ImageInput> = {
        [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }),
      };
      const waiting = collect(predictor.predictStream(silent, { signal: AbortSignal.timeout(20) }));
      await rejectsWith(waiting, 'ERR_ABORTED');
      assert.equal((await predictor.predict(images)).length, images.length);
    });

    it('refuses use after close, and closes only a model of its own', async () => {
      const directory = temporary.path('model');
      await model.save(directory);
      const loaded = await Predictor.load(directory, { batchSize: 2, threads: 1 });
      assert.deepEqual(loaded.config.classes, classes);
      const pending = loaded.predict(images).then(
        () => 'done',
        (error: unknown) => (error as { code: string }).code,
      );
      loaded.close();
      loaded.close();
      assert.ok(['done', 'ERR_ABORTED', 'ERR_CLOSED'].includes(await pending), await pending);
      await rejectsWith(loaded.predict(images), 'ERR_CLOSED', 'predictor');
      await rejectsWith(loaded.embed(images[0]!), 'ERR_CLOSED');
      await rejectsWith(collect(loaded.predictStream(images)), 'ERR_CLOSED');
      await rejectsWith(loaded.model.forward({ images: images[0]!.data }), 'ERR_CLOSED');

      const borrowed = new Predictor(model);
      borrowed[Symbol.dispose]();
      await rejectsWith(borrowed.predict(images[0]!), 'ERR_CLOSED');
      assert.equal((await predictor.predict([images[0]!])).length, 1);
      let inner: Predictor;
      {
        await using own = await Predictor.load(directory);
        inner = own;
        assert.equal(
          (await own.predict(images[0]!)).label,
          (await predictor.predict(images[0]!)).label,
        );
      }
      await rejectsWith(inner.model.forward({ images: images[0]!.data }), 'ERR_CLOSED');
    });

    it('checks its arguments', async () => {
      const noModel = JSON.parse('{}') as Model;
      await rejectsWith(() => new Predictor(noModel), 'ERR_INVALID_ARGUMENT', 'Model');
      await rejectsWith(
        () => new Predictor(model, { batchSize: 0 }),
        'ERR_INVALID_ARGUMENT',
        'batchSize',
      );
      await rejectsWith(Predictor.load(temporary.path('nowhere')), 'ERR_FILE_NOT_FOUND', 'nowhere');
      await rejectsWith(
        Predictor.load('x', { batchSize: 0.5 }),
        'ERR_INVALID_ARGUMENT',
        'batchSize',
      );
      const old = { maxBatch: 4 } as object;
      await rejectsWith(() => new Predictor(model, old), 'ERR_INVALID_ARGUMENT', 'batchSize');
    });
  });

  it('leaves the event loop free while it predicts', async function () {
    // Prediction shares the cores with everything else on a noisy machine: one retry is allowed, and
    // medians and fractions are checked. A loop that waits for a batch ticks once per batch, always late.
    this.retries(3);
    const large = await makeModel(112);
    const quick = new Predictor(large, { batchSize: 16 });
    const many = await faces(64, 112);
    await quick.predict(many.slice(0, 16));
    const idle = await lateness(new Promise((resolve) => setTimeout(resolve, 300)));
    const busy = await lateness(quick.predict(many));
    large.close();
    const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;
    const usual = median(idle);
    assert.ok(median(busy) < usual + 20, `median ${median(busy)} ms, idle ${usual} ms`);
    const late = busy.filter((value) => value > usual + 20).length / busy.length;
    assert.ok(late < 0.25, `${(100 * late).toFixed(0)} % of ${busy.length} ticks late`);
  });
});

/** How late each tick of a 5 ms timer is, in ms, until `work` ends. */
async function lateness(work: Promise<unknown>): Promise<number[]> {
  const late: number[] = [];
  let expected = performance.now() + 5;
  const timer = setInterval(() => {
    const now = performance.now();
    late.push(Math.max(0, now - expected));
    expected = now + 5;
  }, 5);
  await work;
  clearInterval(timer);
  // A loop that was blocked all the time has not ticked at all.
  late.push(Math.max(0, performance.now() - expected));
  return late;
}
