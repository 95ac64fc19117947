import assert from 'node:assert/strict';
import type { NativeModel, NativeTrainer } from '../../lib/native.js';
import {
  addon,
  batch,
  classes,
  codeOf,
  failsWith,
  floats,
  images,
  makeModel,
  size,
  trainerOptions,
  width,
} from './support.js';

describe('addon: model', function () {
  this.timeout(120_000);

  let model: NativeModel;
  before(async () => {
    model = await makeModel();
  });
  after(() => {
    model.close();
  });

  it('tells what it is', () => {
    const info = addon.info();
    assert.ok(['portable', 'avx2', 'avx512'].includes(info.isa));
    assert.ok(Number.isInteger(info.threads) && info.threads >= 1);
    assert.equal(info.cuda.available, info.cuda.devices.length > 0);
    assert.equal(info.cuda.available, info.cuda.reason === '');
    assert.equal(model.device, `cpu (${info.isa})`);
  });

  it('lists the state dict with shapes, and reads what was written', () => {
    const tensors = model.tensors();
    const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    assert.deepEqual(byName.get('encoder.conv1.weight'), {
      name: 'encoder.conv1.weight',
      shape: [64, 3, 7, 7],
      trainable: true,
    });
    assert.equal(byName.get('encoder.bn1.running_var')?.trainable, false);
    assert.deepEqual(byName.get('MLP.fc1.weight')?.shape, [128, width]);
    for (const { name, shape } of tensors) {
      const count = shape.reduce((product, side) => product * side, 1);
      const original = model.readTensor(name);
      assert.equal(original.length, count);
      const written = floats(count, 2);
      model.writeTensor(name, written);
      assert.deepEqual(model.readTensor(name), written, name);
      model.writeTensor(name, original);
    }
  });

  it('is made equal by equal seeds and different by others', async () => {
    const name = 'encoder.layer1.0.conv1.weight';
    const [same, other] = await Promise.all([
      makeModel(),
      makeModel({ seed: Number.MAX_SAFE_INTEGER }),
    ]);
    assert.deepEqual(same.readTensor(name), model.readTensor(name));
    assert.notDeepEqual(other.readTensor(name), model.readTensor(name));
    same.close();
    other.close();
  });

  it('gives each call outputs of its own, from images as they were at the call', async () => {
    const input = images(3);
    const expected = await model.forward(input, 3);
    assert.equal(expected.logits.length, 3 * classes);
    assert.equal(expected.expression.length, 3 * width);
    assert.equal(expected.neutral.length, 3 * width);
    const changed = input.slice();
    const pending = model.forward(changed, 3);
    changed.fill(0);
    expected.logits.fill(0);
    const { logits } = await pending;
    const again = await model.forward(input, 3);
    assert.deepEqual(again.logits, logits);
    assert.ok(logits.some((value) => value !== 0));
  });

  it('takes any view on bytes, and shared memory', async () => {
    const input = images(2);
    const { logits } = await model.forward(input, 2);
    const padded = new Uint8Array(input.length + 5);
    padded.set(input, 3);
    const shared = new Uint8Array(new SharedArrayBuffer(input.length));
    shared.set(input);
    for (const view of [padded.subarray(3, 3 + input.length), Buffer.from(input), shared]) {
      assert.deepEqual((await model.forward(view, 2)).logits, logits);
    }
  });

  it('resizes pictures as `resize` does, and averages the logits of their mirror images', async () => {
    const sides = [
      [50, 41],
      [7, 60],
      [size, size],
    ] as const;
    const pictures = sides.map(([width, height], i) =>
      Uint8Array.from({ length: width * height * 3 }, (_, k) => (k * (37 + i)) % 251),
    );
    const numbers = Uint32Array.from(sides.flat());
    const resized = await Promise.all(
      sides.map(([width, height], i) => addon.resize(pictures[i]!, width, height, size)),
    );
    const expected = await model.forward(Buffer.concat(resized), 3);
    const pending = model.forwardImages(pictures, numbers, false);
    const withFlip = model.forwardImages(pictures, numbers, true);
    for (const picture of pictures) picture.fill(0); // they were copied
    assert.deepEqual(await pending, expected);
    const flipped = resized.map((image) => {
      const rows = Array.from({ length: size }, (_, y) => {
        const row = image.subarray(y * size * 3, (y + 1) * size * 3);
        return Array.from({ length: size }, (_, x) => [...row.slice(x * 3, x * 3 + 3)]).reverse();
      });
      return Uint8Array.from(rows.flat(2));
    });
    const mirrored = await model.forward(Buffer.concat(flipped), 3);
    assert.notDeepEqual(mirrored.logits, expected.logits);
    const logits = expected.logits.map((value, i) => (value + mirrored.logits[i]!) / 2);
    assert.deepEqual(await withFlip, { ...expected, logits, mirrored: mirrored.expression });
  });

  it('normalises uint8 images as it was told when they came', async () => {
    const input = images(1);
    const normal = await model.forward(input, 1);
    const before = model.forward(input, 1);
    model.setNormalization(Float32Array.of(0, 0, 0), Float32Array.of(1, 1, 1));
    const plain = await model.forward(input, 1);
    assert.deepEqual((await before).logits, normal.logits);
    const scaled = Float32Array.from(input, (value) => value / 255);
    const same = await model.forward(scaled, 1);
    plain.expression.forEach((value, i) => {
      // One float32 rounding error in each input.
      assert.ok(Math.abs(value - same.expression[i]!) <= 1e-4 * (1 + Math.abs(value)));
    });
    assert.notDeepEqual(plain.expression, normal.expression);
    model.setNormalization(
      Float32Array.of(0.485, 0.456, 0.406),
      Float32Array.of(0.229, 0.224, 0.225),
    );
    assert.deepEqual((await model.forward(input, 1)).logits, normal.logits);
  });

  it('is busy for synchronous access while a job runs, and runs jobs in order', async () => {
    const order: number[] = [];
    const jobs = [4, 1, 2].map((count, i) =>
      model.forward(images(count), count).then(() => order.push(i)),
    );
    await failsWith('ERR_BUSY', () => model.readTensor('encoder.conv1.weight'));
    await failsWith('ERR_BUSY', () => {
      model.writeTensor('MLP.fc1.bias', new Float32Array(128));
    });
    await Promise.all(jobs);
    assert.deepEqual(order, [0, 1, 2]);
    model.readTensor('encoder.conv1.weight');
  });

  it('closes at once: jobs reject, everything after says that it is closed', async () => {
    const closing = await makeModel();
    const trainer = addon.createTrainer(closing, trainerOptions);
    const jobs = [
      closing.forward(images(64), 64),
      trainer.step(batch()),
      closing.forward(images(1), 1),
    ];
    closing.close();
    closing.close();
    for (const job of jobs) await failsWith('ERR_ABORTED', () => job);
    await failsWith('ERR_CLOSED', () => closing.forward(images(1), 1));
    await failsWith('ERR_CLOSED', () => closing.readTensor('MLP.fc1.bias'));
    await failsWith('ERR_CLOSED', () => closing.tensors());
    await failsWith('ERR_CLOSED', () => closing.device);
    await failsWith('ERR_CLOSED', () => addon.createTrainer(closing, trainerOptions));
    await failsWith('ERR_CLOSED', () => trainer.step(batch()));
    await failsWith('ERR_CLOSED', () => trainer.stepCount);
    await failsWith('ERR_CLOSED', () => trainer.slots());
    trainer.close();
    closing.close();
  });

  it('leaves the event loop free while it works', async () => {
    let turns = 0;
    let done = false;
    const turn = (): void => {
      turns++;
      if (!done) setImmediate(turn);
    };
    setImmediate(turn);
    const count = 128;
    await model.forward(images(count), count);
    done = true;
    assert.ok(turns > 20, `${turns} turns of the event loop during a job`);
  });
});

describe('addon: trainer', function () {
  this.timeout(120_000);

  let model: NativeModel;
  let trainer: NativeTrainer;
  const state = (of: NativeModel): Float32Array[] =>
    of.tensors().map(({ name }) => of.readTensor(name));
  beforeEach(async () => {
    model = await makeModel();
    trainer = addon.createTrainer(model, trainerOptions);
  });
  afterEach(() => {
    trainer.close();
    model.close();
  });

  it('steps, counts, and reports losses that add up', async () => {
    assert.equal(trainer.stepCount, 0);
    const first = await trainer.step(batch());
    assert.equal(trainer.stepCount, 1);
    const sum = Object.values<number>({ ...first.terms }).reduce((a, b) => a + b);
    assert.ok(Math.abs(first.loss - sum) <= 1e-5 * Math.abs(sum), `${first.loss} and ${sum}`);
    assert.ok(first.gradientNorm > 0 && Number.isInteger(first.correct));
    let last = first;
    for (let i = 0; i < 15; i++) last = await trainer.step({ ...batch(), augment: false });
    assert.ok(last.loss < first.loss, `${first.loss} to ${last.loss}`);
  });

  it('shows gradients, whose norm is the reported one', async () => {
    await failsWith('ERR_INVALID_ARGUMENT', () => trainer.readGradient('MLP.fc1.bias'));
    const { gradientNorm } = await trainer.step(batch());
    let sum = 0;
    for (const { name, shape, trainable } of model.tensors()) {
      if (!trainable) {
        await failsWith('ERR_INVALID_ARGUMENT', () => trainer.readGradient(name));
        continue;
      }
      const gradient = trainer.readGradient(name);
      assert.equal(
        gradient.length,
        shape.reduce((product, side) => product * side, 1),
      );
      for (const value of gradient) sum += value * value;
    }
    assert.ok(Math.abs(Math.sqrt(sum) / gradientNorm - 1) < 1e-5);
  });

  it('resumes from slots and the step count with the same bits', async () => {
    await trainer.step(batch(4, 1));
    assert.deepEqual(trainer.slots(), ['velocity']);
    const other = await makeModel({ seed: 77 });
    const resumed = addon.createTrainer(other, { ...trainerOptions, threads: 2 });
    for (const { name, trainable } of model.tensors()) {
      other.writeTensor(name, model.readTensor(name));
      if (trainable) resumed.writeSlot('velocity', name, trainer.readSlot('velocity', name));
    }
    resumed.stepCount = trainer.stepCount;
    const results = await Promise.all([trainer.step(batch(4, 2)), resumed.step(batch(4, 2))]);
    assert.deepEqual(results[0], results[1]);
    assert.deepEqual(state(model), state(other));
    other.close();
  });

  it('has the slots of its optimizer, and exchanges weights and average', async () => {
    const averaging = addon.createTrainer(model, {
      ...trainerOptions,
      optimizer: 'adamw',
      settings: { betas: [0.9, 0.999], eps: 1e-8 },
      emaDecay: 0.5,
    });
    assert.deepEqual(averaging.slots(), ['firstMoment', 'secondMoment', 'average']);
    await averaging.step(batch());
    const name = 'encoder.layer4.1.conv2.weight';
    const weights = model.readTensor(name);
    const average = averaging.readSlot('average', name);
    assert.notDeepEqual(weights, average);
    averaging.swapAverage();
    assert.deepEqual(model.readTensor(name), average);
    await failsWith('ERR_INVALID_ARGUMENT', () => averaging.step(batch()));
    averaging.swapAverage();
    assert.deepEqual(model.readTensor(name), weights);
    await failsWith('ERR_INVALID_ARGUMENT', () => {
      trainer.swapAverage();
    });
  });

  it('closes alone: its steps abort and change nothing, the model lives on', async () => {
    const reference = await makeModel();
    const referenceTrainer = addon.createTrainer(reference, trainerOptions);
    const steps = Array.from({ length: 8 }, () => trainer.step(batch(16)));
    const prediction = model.forward(images(1), 1);
    trainer.close();
    const ends = await Promise.allSettled(steps);
    assert.equal((await prediction).logits.length, classes);
    // However busy the machine is, at most a few steps were done before the call.
    const through = ends.filter((end) => end.status === 'fulfilled').length;
    assert.ok(through < ends.length);
    for (const end of ends.slice(through)) {
      assert.equal(end.status === 'rejected' && codeOf(end.reason), 'ERR_ABORTED');
    }
    for (let i = 0; i < through; i++) await referenceTrainer.step(batch(16));
    assert.deepEqual(state(model), state(reference));
    reference.close();
    await failsWith('ERR_CLOSED', () => trainer.step(batch()));
    await failsWith('ERR_CLOSED', () => trainer.readSlot('velocity', 'MLP.fc1.bias'));
  });

  it('refuses a precision that the device lacks', async () => {
    await failsWith('ERR_UNSUPPORTED', () =>
      addon.createTrainer(model, { ...trainerOptions, precision: 'bf16' }),
    );
  });
});

describe('addon: resize', function () {
  this.timeout(120_000);

  it('keeps an image of the same size and averages a larger one', async () => {
    const image = images(1);
    assert.deepEqual(await addon.resize(image, size, size, size), image);
    const flat = new Uint8Array(100 * 60 * 3).fill(77);
    const resized = await addon.resize(flat, 100, 60, 24);
    assert.deepEqual(resized, new Uint8Array(24 * 24 * 3).fill(77));
  });
});
