import assert from 'node:assert/strict';
import type { NativeModel, NativeTrainer } from '../../lib/native.js';
import {
  addon,
  batch,
  call,
  classes,
  codeOf,
  failsWith,
  floats,
  graphOptions,
  images,
  makeModel,
  modelOptions,
  size,
  trainerOptions,
  width,
} from './support.js';

/** Detaches an array's memory, as a transfer to a worker does. */
function detach(array: Uint8Array | Float32Array): void {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
}

const detached = new Float32Array(classes * width);
detach(detached);
const getterThrows = Object.defineProperty({}, 'seed', {
  get() {
    throw new RangeError('from a getter');
  },
});

/** Anything JavaScript can pass in place of an argument. */
const hostile: unknown[] = [
  undefined,
  null,
  true,
  false,
  0,
  -0,
  1,
  -1,
  0.5,
  3,
  NaN,
  Infinity,
  -Infinity,
  2 ** 31,
  2 ** 53,
  1e300,
  10n,
  '',
  'resnet18',
  'x'.repeat(1e5),
  '\u0000',
  '\ud800',
  Symbol('s'),
  () => 1,
  Map,
  {},
  [],
  [1, 2],
  [NaN, 1],
  ['a', {}],
  new Array(2),
  new Proxy({}, {}),
  new Proxy([], {}),
  Object.create(null),
  new Date(),
  new Map(),
  new ArrayBuffer(8),
  new DataView(new ArrayBuffer(8)),
  new Float32Array(),
  new Float32Array(3),
  new Float64Array(4),
  new Uint8Array(7),
  new Uint32Array(4),
  new BigInt64Array(1),
  detached,
  new Float32Array(new SharedArrayBuffer(16)),
  Buffer.alloc(12),
  getterThrows,
  addon,
  globalThis,
];

/** Succeeds, or fails like the addon: no crash, no hang, no error without a code. */
async function survives(work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    // V8's own errors: a wrong `this`, an exception in a getter.
    if (error instanceof TypeError || error instanceof RangeError) return;
    codeOf(error);
  }
}

/** An object that is valid except for one property. */
function* spoiled(right: object): Generator<object> {
  for (const name of Object.keys(right)) {
    for (const value of hostile) yield { ...right, [name]: value };
  }
}

describe('addon: hostile calls', function () {
  this.timeout(300_000);

  let model: NativeModel;
  let trainer: NativeTrainer;
  before(async () => {
    model = await makeModel();
    trainer = addon.createTrainer(model, trainerOptions);
  });
  after(() => {
    model.close();
  });

  it('survives any argument in any place', async () => {
    const targets: [object, string, unknown[]][] = [
      [addon, 'info', []],
      [addon, 'createTrainer', [model, trainerOptions]],
      [addon, 'describeGraph', [graphOptions]],
      [addon, 'resize', [images(1), size, size, size]],
      [addon, 'warp', [images(1), size, size, size, Float32Array.of(1, 0, 0, 0, 1, 0)]],
      [model, 'tensors', []],
      [model, 'readTensor', ['MLP.fc1.bias']],
      [model, 'writeTensor', ['MLP.fc1.bias', new Float32Array(128)]],
      [model, 'forward', [images(1), 1]],
      [model, 'forwardImages', [[images(1)], Uint32Array.of(size, size), false]],
      [model, 'setNormalization', [Float32Array.of(0, 0, 0), Float32Array.of(1, 1, 1)]],
      [trainer, 'step', [batch()]],
      [trainer, 'readGradient', ['MLP.fc1.bias']],
      [trainer, 'slots', []],
      [trainer, 'readSlot', ['velocity', 'MLP.fc1.bias']],
      [trainer, 'writeSlot', ['velocity', 'MLP.fc1.bias', new Float32Array(128)]],
      [trainer, 'swapAverage', []],
    ];
    for (const [object, method, right] of targets) {
      // All of a method's calls at once: its valid ones wait in the queue, and the next method's
      // synchronous calls find the model idle.
      const calls = [survives(() => call(object, method))];
      for (let place = 0; place <= right.length; place++) {
        for (const value of hostile) {
          const values = [...right.slice(0, place), value, ...right.slice(place + 1)];
          calls.push(survives(() => call(object, method, ...values)));
        }
      }
      await Promise.all(calls);
    }
  });

  it('survives any option of createModel', async () => {
    for (const value of hostile) await survives(() => call(addon, 'createModel', value));
    // Embeddings that are too short end it before weights are drawn, which takes a while.
    const calls = [...spoiled({ ...modelOptions, text: floats(8) })].map((options) =>
      survives(() => call(addon, 'createModel', options)),
    );
    await Promise.all(calls);
    for (const seed of [-1, 0.5, NaN, Infinity, 2 ** 53, '1', 1n]) {
      await failsWith('ERR_INVALID_ARGUMENT', () =>
        call(addon, 'createModel', { ...modelOptions, seed }),
      );
    }
    for (const threads of [-1, 257, 1e9, 2.5]) {
      await failsWith('ERR_INVALID_ARGUMENT', () => makeModel({ threads }));
    }
    await failsWith('ERR_DEVICE_UNAVAILABLE', () => makeModel({ device: 'cuda:9999' }));
    for (const device of ['gpu', 'CUDA', 'cuda:', 'cuda:-1', 'cuda:x', 'cuda:12345', '']) {
      await failsWith('ERR_INVALID_ARGUMENT', () =>
        call(addon, 'createModel', { ...modelOptions, device }),
      );
    }
    await failsWith('ERR_INVALID_ARGUMENT', () => makeModel({ inputSize: 31 }));
    await failsWith('ERR_INVALID_ARGUMENT', () => makeModel({ inputSize: 1e6 }));
    await failsWith('ERR_INVALID_ARGUMENT', () => makeModel({ neutral: classes }));
    await failsWith('ERR_SHAPE_MISMATCH', () => makeModel({ text: floats(width) }));
    await failsWith('ERR_SHAPE_MISMATCH', () => makeModel({ text: detached }));
    await failsWith('ERR_ZERO_NORM', () => makeModel({ text: new Float32Array(classes * width) }));
    await failsWith('ERR_NOT_FINITE', () =>
      makeModel({ text: floats(classes * width).fill(NaN, 9, 10) }),
    );
  });

  it('survives any option of describeGraph', async () => {
    for (const options of spoiled(graphOptions)) {
      await survives(() => call(addon, 'describeGraph', options));
    }
  });

  it('survives any option of createTrainer and any part of a batch', async () => {
    for (const options of spoiled(trainerOptions)) {
      await survives(() => {
        (call(addon, 'createTrainer', model, options) as NativeTrainer).close();
      });
    }
    const tensors = model.tensors().length;
    const right = {
      learningRateScales: Float32Array.of(1, 0.5),
      weightDecays: Float32Array.of(0, 1),
      of: new Uint8Array(tensors).fill(1),
    };
    addon.createTrainer(model, { ...trainerOptions, groups: right }).close();
    for (const groups of spoiled(right)) {
      await survives(() => {
        (
          call(addon, 'createTrainer', model, { ...trainerOptions, groups }) as NativeTrainer
        ).close();
      });
    }
    for (const of of [new Uint8Array(tensors).fill(2), new Uint8Array(tensors - 1)]) {
      await failsWith('ERR_INVALID_ARGUMENT', () =>
        addon.createTrainer(model, { ...trainerOptions, groups: { ...right, of } }),
      );
    }
    await failsWith('ERR_SHAPE_MISMATCH', () =>
      addon.createTrainer(model, {
        ...trainerOptions,
        groups: { ...right, weightDecays: new Float32Array(3) },
      }),
    );
    for (const augmentation of spoiled(trainerOptions.augmentation)) {
      await survives(() => {
        (
          call(addon, 'createTrainer', model, { ...trainerOptions, augmentation }) as NativeTrainer
        ).close();
      });
    }
    const steps = [...spoiled(batch())].map((wrong) =>
      survives(() => call(trainer, 'step', wrong)),
    );
    await Promise.all(steps);
  });

  it('says what is wrong with images', async () => {
    await failsWith('ERR_SHAPE_MISMATCH', () => model.forward(images(2), 3));
    await failsWith('ERR_SHAPE_MISMATCH', () => model.forward(new Uint8Array(), 1));
    await failsWith('ERR_SHAPE_MISMATCH', () => model.forward(detached, 1));
    await failsWith('ERR_BATCH_TOO_LARGE', () => model.forward(images(1), 4097));
    await failsWith('ERR_BATCH_TOO_LARGE', () => model.forward(images(1), 2 ** 29));
    for (const count of [0, -1, NaN, 0.5, Infinity, 2 ** 40]) {
      await failsWith('ERR_INVALID_ARGUMENT', () => model.forward(images(1), count));
    }
    for (const value of [NaN, Infinity, -Infinity]) {
      const input = new Float32Array(size * size * 3);
      input[77] = value;
      await failsWith('ERR_NOT_FINITE', () => model.forward(input, 1));
      await failsWith('ERR_NOT_FINITE', () =>
        trainer.step({ ...batch(1), images: input, augment: false }),
      );
    }
    await failsWith('ERR_INVALID_ARGUMENT', () =>
      trainer.step({ ...batch(1), images: new Float32Array(size * size * 3) }),
    );
  });

  it('says what is wrong with pictures', async () => {
    const sides = Uint32Array.of(size, size);
    const forward = (pictures: unknown, numbers: unknown = sides): unknown =>
      call(model, 'forwardImages', pictures, numbers, false);
    for (const pictures of [null, images(1), {}, [], [null], [[1]], [new Float32Array(3)]]) {
      const numbers = Array.isArray(pictures) && pictures.length === 0 ? new Uint32Array(0) : sides;
      await failsWith('ERR_INVALID_ARGUMENT', () => forward(pictures, numbers));
    }
    await failsWith('ERR_INVALID_ARGUMENT', () => forward(new Array(4097).fill(images(1))));
    await failsWith('ERR_INVALID_ARGUMENT', () => forward(new Array(2 ** 32 - 1)));
    const noBytes = images(1);
    detach(noBytes);
    for (const pictures of [[images(2)], [images(1), images(1)], [new Uint8Array()], [noBytes]]) {
      await failsWith('ERR_SHAPE_MISMATCH', () => forward(pictures));
    }
    await failsWith('ERR_SHAPE_MISMATCH', () => forward([images(1)], Uint32Array.of(size)));
    for (const side of [0, 32_769, 2 ** 32 - 1]) {
      await failsWith('ERR_INVALID_ARGUMENT', () => forward([images(1)], Uint32Array.of(side, 1)));
      await failsWith('ERR_INVALID_ARGUMENT', () => forward([images(1)], Uint32Array.of(1, side)));
    }
    // Code that an array runs while it is read.
    const closing = await makeModel();
    const getter = [images(1)];
    Object.defineProperty(getter, 0, {
      get: () => {
        closing.close();
        return images(1);
      },
    });
    await failsWith('ERR_CLOSED', () => call(closing, 'forwardImages', getter, sides, false));
    const gone = images(1);
    const detaching = [gone, gone];
    Object.defineProperty(detaching, 1, {
      get: () => {
        detach(gone);
        return images(1);
      },
    });
    const both = Uint32Array.of(size, size, size, size);
    await failsWith('ERR_SHAPE_MISMATCH', () => forward(detaching, both));
  });

  it('says what is wrong with targets, names and data', async () => {
    for (const value of [NaN, -1, 0.5, Infinity]) {
      const spoilt = batch();
      spoilt.targets[classes] = value;
      await failsWith('ERR_LABEL_RANGE', () => trainer.step(spoilt));
    }
    await failsWith('ERR_SHAPE_MISMATCH', () =>
      trainer.step({ ...batch(), targets: new Float32Array(3) }),
    );
    await failsWith('ERR_SHAPE_MISMATCH', () =>
      trainer.step({ ...batch(), samples: new Uint32Array(3) }),
    );
    await failsWith('ERR_INVALID_ARGUMENT', () => model.readTensor('encoder.fc.weight'));
    await failsWith('ERR_SHAPE_MISMATCH', () => {
      model.writeTensor('MLP.fc1.bias', new Float32Array(127));
    });
    await failsWith('ERR_NOT_FINITE', () => {
      model.writeTensor('MLP.fc1.bias', new Float32Array(128).fill(NaN));
    });
    await failsWith('ERR_INVALID_ARGUMENT', () => {
      model.setNormalization(Float32Array.of(0, 0, 0), Float32Array.of(1, 0, 1));
    });
    for (const count of [-1, 0.5, NaN, 2 ** 41]) {
      await failsWith('ERR_INVALID_ARGUMENT', () => {
        trainer.stepCount = count;
      });
    }
    await failsWith('ERR_INVALID_ARGUMENT', () =>
      call(trainer, 'readSlot', 'average', 'MLP.fc1.bias'),
    );
  });

  it('refuses objects of another kind', async () => {
    const wrong = [
      trainer,
      {},
      Object.create(Object.getPrototypeOf(model) as object),
      addon,
      null,
      1,
    ];
    for (const value of wrong) {
      await failsWith('ERR_INVALID_ARGUMENT', () =>
        call(addon, 'createTrainer', value, trainerOptions),
      );
    }
    const forward: unknown = Reflect.get(model, 'forward');
    assert.ok(typeof forward === 'function');
    for (const value of [trainer, {}, null, undefined, 1]) {
      assert.throws(() => Reflect.apply(forward, value, [images(1), 1]) as unknown, TypeError);
    }
    for (const object of [model, trainer]) {
      const constructor = object.constructor as new (...args: unknown[]) => unknown;
      for (const value of hostile) {
        await failsWith('ERR_INVALID_ARGUMENT', () => new constructor(value));
      }
    }
  });

  it('copies arrays before a getter can take them away', async () => {
    const taken = images(4);
    const spoilt = Object.defineProperty({ ...batch(), images: taken }, 'targets', {
      enumerable: true,
      get() {
        detach(taken);
        return batch().targets;
      },
    });
    const closing = await makeModel();
    const closer = addon.createTrainer(closing, trainerOptions);
    assert.ok((await closer.step(spoilt)).loss > 0);
    assert.equal(taken.length, 0);
    const last = Object.defineProperty({ ...batch() }, 'samples', {
      get() {
        closing.close();
        return new Uint32Array(4);
      },
    });
    await failsWith('ERR_CLOSED', () => closer.step(last));
  });
});
