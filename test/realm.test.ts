import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import { setTimeout as delay } from 'node:timers/promises';
import sharp from 'sharp';
import { DataLoader } from '../lib/data/loader.js';
import type * as data from '../lib/data/index.js';
import type * as subsets from '../lib/data/subset.js';
import { messageOf, toCountenanceError, type CountenanceError } from '../lib/errors.js';
import { decodeImage } from '../lib/images/decode.js';
import type * as countenance from '../lib/index.js';
import type { ImageInput } from '../lib/images/input.js';
import { Model } from '../lib/model/model.js';
import type { ModelOptions } from '../lib/model/config.js';
import { Predictor } from '../lib/predict/predictor.js';
import { Trainer } from '../lib/train/trainer.js';
import { checkFormats } from '../lib/images/formats.js';
import { faces, makeModel, noise, side } from './api-support.js';
import { loaderInRealm } from './vm-library.js';
import { collect, rejectsWith, temporaryDirectory } from './data/data-support.js';

/** Values as a test of Jest or a window of Electron has them: none of their constructors is ours. */
const elsewhere = createContext({});
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- what the code gives
function foreign<T>(code: string, values: object = {}): T {
  return runInContext(`(${code})`, Object.assign(elsewhere, values)) as T;
}

/** A copy of an array, made there. */
function copied<T extends ArrayLike<number>>(constructor: string, values: T): T {
  const copy = foreign<T>(`${constructor}.from(values)`, { values: Array.from(values) });
  assert.ok(!(copy instanceof Object), 'of another realm');
  return copy;
}

/** An AbortController whose signal is of no class that Node knows, as in jsdom. */
const controller = `{
  signal: {
    aborted: false, reason: undefined, listeners: new Set(),
    addEventListener(type, listener) { this.listeners.add(listener); },
    removeEventListener(type, listener) { this.listeners.delete(listener); },
  },
  abort() {
    Object.assign(this.signal, { aborted: true, reason: new Error('enough') });
    for (const listener of this.signal.listeners) listener();
  },
}`;
interface ForeignController {
  readonly signal: AbortSignal & { readonly listeners: Set<unknown> };
  abort(): void;
}

describe('values of another realm', function () {
  this.timeout(60_000);
  const temporary = temporaryDirectory();
  const rgb = Buffer.from(noise(1));
  let png: Buffer;
  let model: Model;

  before(async () => {
    png = await sharp(rgb, { raw: { width: side, height: side, channels: 3 } })
      .png()
      .toBuffer();
    model = await makeModel();
  });
  after(() => model.close());

  it('are images like others', async () => {
    const size = { width: side, height: side };
    const encoded = copied<Uint8Array>('Uint8Array', png);
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      yield encoded.subarray(0, 50);
      yield encoded.subarray(50);
    };
    const text = `data:image/png;base64,${png.toString('base64')}`;
    const url = foreign<URL>(
      `{ href: text, protocol: 'data:', get [Symbol.toStringTag]() { return 'URL'; } }`,
      { text },
    );
    const inputs: Record<string, ImageInput> = {
      bytes: encoded,
      view: foreign<Uint8Array>('new Uint8Array([7, ...values]).subarray(1)', { values: png }),
      buffer: encoded.buffer as ArrayBuffer,
      stream: pieces(),
      pixels: { ...size, data: copied('Uint8Array', rgb) },
      clamped: {
        ...size,
        data: copied<Uint8ClampedArray>('Uint8ClampedArray', new Uint8ClampedArray(rgb)),
      },
      floats: { ...size, data: copied<Float32Array>('Float32Array', Float32Array.from(rgb)) },
      url,
    };
    for (const [what, input] of Object.entries(inputs)) {
      const { data } = await decodeImage(input);
      assert.ok(data instanceof Uint8Array, what);
      assert.ok(rgb.equals(data), what);
    }
    const list = foreign<ImageInput[]>('[encoded, encoded]', { encoded });
    const [one, two] = await new Predictor(model).predict(list);
    assert.deepEqual(one, two);
    assert.deepEqual([one, two], await new Predictor(model).predict([png, png]));
    assert.deepEqual(checkFormats(foreign(`['png']`)).length, 1);
  });

  it('are batches, labels, weights and text embeddings like others', async () => {
    const bytes = noise(2);
    const floats = Float32Array.from(bytes, (value) => value / 100 - 1);
    const expected = await model.forward({ images: bytes });
    for (const [name, images, result] of [
      ['Uint8Array', bytes, expected],
      ['Uint8ClampedArray', bytes, expected],
      ['Float32Array', floats, await model.forward({ images: floats })],
    ] as const) {
      assert.deepEqual(await model.forward({ images: copied(name, images) }), result, name);
    }

    const { classes } = model.config;
    const soft = new Float32Array(2 * classes.length);
    soft.set([1, 0]);
    soft.set([0.5, 0.5], classes.length);
    const losses = async (labels: ArrayLike<number>): Promise<number> => {
      await using fresh = await makeModel();
      await using trainer = new Trainer(fresh);
      const batch = { images: copied('Uint8Array', bytes), labels: labels as Float32Array };
      return (await trainer.step(batch)).loss;
    };
    assert.equal(await losses(copied('Float32Array', soft)), await losses(soft));
    assert.equal(await losses(copied('Int32Array', [1, 0])), await losses([1, 0]));

    const weights = new Map(
      [...model.stateDict()].map(([name, { shape, data }]) => [
        name,
        { shape, data: copied<Float32Array>('Float32Array', data) },
      ]),
    );
    const state = foreign<Map<string, { shape: number[]; data: Float32Array }>>(
      'new Map(entries)',
      { entries: [...weights] },
    );
    const { data } = model.textEmbeddings;
    const textEmbeddings = {
      ...model.textEmbeddings,
      data: copied<Float32Array>('Float32Array', data),
    };
    await using other = await Model.create({ ...model.config, textEmbeddings } as ModelOptions);
    other.loadStateDict(state);
    assert.deepEqual(await other.forward({ images: bytes }), expected);
    await other.save(temporary.path('model'));
    await using again = await Model.load(temporary.path('model'));
    assert.deepEqual(await again.forward({ images: bytes }), expected);
  });

  it('stop the work like others', async () => {
    const aborter = foreign<ForeignController>(controller);
    const { signal } = aborter;
    const loader = new DataLoader(faces(28), { batchSize: 7, inputSize: side });
    const [first] = await collect(loader.epoch(0, { signal }));
    assert.equal(first!.indices.length, 7);
    assert.equal(signal.listeners.size, 0, 'nothing listens afterwards');

    await using trainer = new Trainer(model);
    const run = trainer.fit(faces(28), { batchSize: 7, epochs: 100, signal });
    const ended = rejectsWith(
      run.then(() => undefined),
      'ERR_ABORTED',
    );
    await delay(50);
    aborter.abort();
    const error = await ended;
    assert.equal((error.cause as Error).message, 'enough');
    await rejectsWith(decodeImage(png, { signal }), 'ERR_ABORTED');
    await rejectsWith(new Predictor(model).predict(png, { signal }), 'ERR_ABORTED');
    for (const wrong of [{}, { aborted: false }, 'signal', null]) {
      const options = { signal: wrong as unknown as AbortSignal };
      await rejectsWith(() => trainer.fit(faces(7), options), 'ERR_INVALID_ARGUMENT', 'signal');
    }
  });

  it('are errors with their message and code', () => {
    assert.equal(messageOf(foreign(`new TypeError('no such\\nthing')`)), 'no such; thing');
    assert.equal(messageOf(foreign(`({ toString: () => 'odd' })`)), 'odd');
    const thrown = foreign(`Object.assign(new Error('gone'), { code: 'ERR_READ' })`);
    const { code, message, cause } = toCountenanceError(thrown);
    assert.deepEqual(
      { code, message, cause },
      { code: 'ERR_READ', message: 'gone', cause: thrown },
    );
  });
});

/** Everything that the library's main functions read and write, in a realm where no array is Node's. */
for (const packagesToo of [false, true]) {
  describe(`the library in another realm, packages ${packagesToo ? 'too' : 'outside'}`, function () {
    this.timeout(120_000);
    const temporary = temporaryDirectory();

    it('trains, saves, loads, resumes, evaluates and predicts', async () => {
      const load = loaderInRealm(packagesToo);
      const library = load(join(__dirname, '../lib/index.ts')) as unknown as typeof countenance;
      const { decodeImage: decode } = load(
        join(__dirname, '../lib/data/index.ts'),
      ) as unknown as typeof data;
      const { error } = await decode(temporary.path('none.png')).then(
        () => ({ error: undefined }),
        (reason: unknown) => ({ error: reason }),
      );
      assert.ok(!(error instanceof Error), 'its errors are of its own realm');
      assert.equal((error as CountenanceError).code, 'ERR_FILE_NOT_FOUND');

      const png = await sharp(Buffer.from(noise(1)), {
        raw: { width: side, height: side, channels: 3 },
      })
        .png()
        .toBuffer();
      const file = temporary.path('face.png');
      await writeFile(file, png);
      const own = new Uint8Array(png);
      for (const image of [png, own, file, new Blob([png]), createReadStream(file)]) {
        assert.equal((await decode(image)).width, side);
      }

      const text = library.syntheticTextEmbeddings(['happiness', 'neutral', 'anger']);
      const options = { backbone: 'resnet18', inputSize: side, textEmbeddings: text } as const;
      const model = await library.Model.create({ ...options, classes: [...text.classes] });
      const trainer = new library.Trainer(model);
      const { signal } = new AbortController();
      const classes = await library.openDataset('synthetic:21');
      const { selectClasses: select } = load(
        join(__dirname, '../lib/data/subset.ts'),
      ) as unknown as typeof subsets;
      const faceSet = select(classes, text.classes);
      const fit = { epochs: 1, batchSize: 3, validation: faceSet, signal };
      const run = temporary.path('run');
      const { steps } = await trainer.fit(faceSet, { ...fit, checkpoint: run });
      assert.equal(steps, 3);
      const again = await library.Model.load(run);
      const resumed = await new library.Trainer(again).fit(faceSet, { ...fit, resume: run });
      assert.equal(resumed.steps, 3);
      for (const name of ['model.pth', 'model.safetensors']) {
        await model.saveWeights(temporary.path(name));
        const { matched } = await again.initialize(temporary.path(name));
        assert.equal(matched.length, 104, name);
      }
      await library.exportOnnx(model, temporary.path('model.onnx'));
      const { count } = await library.evaluate(again, faceSet);
      assert.equal(count, 9);
      const predictor = new library.Predictor(again);
      const [first, second] = await predictor.predict([own, file]);
      assert.deepEqual({ ...first!.scores }, { ...second!.scores });
      model.close();
      again.close();
    });
  });
}
