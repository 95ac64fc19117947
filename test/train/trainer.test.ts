import assert from 'node:assert/strict';
import {
  Trainer,
  type Model,
  type Labels,
  type TrainerOptions,
  type TrainingBatch,
} from '../../lib/index.js';
import { learningRateAt, type Schedule } from '../../lib/train/schedule.js';
import { toTargets } from '../../lib/train/targets.js';
import { digest, faces, makeModel, noise, side } from '../api-support.js';
import { rejectsWith } from '../data/data-support.js';

describe('3 Trainer', function () {
  this.timeout(60_000);
  let model: Model;
  before(async () => {
    model = await makeModel();
  });
  after(() => {
    model.close();
  });

  const labels = [0, 3, 6, 2];

  it('chooses its defaults by the model', () => {
    using trainer = new Trainer(model);
    const { optimizer, learningRate, momentum, weightDecay, contrast } = trainer.options;
    assert.deepEqual(
      { optimizer, learningRate, momentum, weightDecay, contrast },
      {
        optimizer: 'sgd',
        learningRate: 0.1,
        momentum: 0.9,
        weightDecay: 5e-4,
        contrast: 'pairwise',
      },
    );
    using adamw = new Trainer(model, { optimizer: 'adamw' });
    assert.equal(adamw.options.learningRate, 5e-4);
    assert.equal(adamw.options.weightDecay, 0.05);
  });

  it('takes steps that lower the loss of a batch', async () => {
    await using trainer = new Trainer(model, { learningRate: 0.01 });
    const images = noise(4);
    const first = await trainer.step({ images, labels });
    assert.ok(first.accuracy >= 0 && first.accuracy <= 1 && first.gradientNorm > 0);
    const sum = first.supervised + first.transformation + first.contrast;
    assert.ok(Math.abs(sum - first.loss) < 1e-5 * first.loss, 'the parts add up, but for float32');
    let last = first;
    for (let i = 0; i < 10; i++) last = await trainer.step({ images, labels });
    assert.ok(last.loss < 0.7 * first.loss, `${first.loss} -> ${last.loss}`);
    assert.equal(trainer.stepCount, 11);
  });

  it('takes plain SGD exactly: w - learningRate * gradient', async () => {
    await using trainer = new Trainer(model, { momentum: 0, weightDecay: 0 });
    const before = model.stateDict();
    await trainer.step({ images: noise(4), labels, learningRate: 0.25 });
    const gradients = trainer.gradients();
    const after = model.stateDict();
    for (const name of ['encoder.conv1.weight', 'encoder.bn1.bias', 'MLP.fc2.weight']) {
      const [w, g, now] = [before, gradients, after].map((state) => state.get(name)!.data);
      // One rounding of the product and one of the difference, possibly fused.
      w!.forEach((x, i) => {
        const expected = x - 0.25 * g![i]!;
        assert.ok(
          Math.abs(now![i]! - expected) <= 2e-7 * Math.max(Math.abs(x), Math.abs(expected)) + 1e-12,
        );
      });
    }
    assert.ok(!gradients.has('encoder.bn1.running_mean'), 'running statistics have no gradient');
  });

  it('scales the parts of the loss', async () => {
    const images = noise(4);
    const losses = async (lossWeights: TrainerOptions['lossWeights']) => {
      await using fresh = await makeModel();
      await using trainer = new Trainer(fresh, lossWeights ? { lossWeights } : {});
      return await trainer.step({ images, labels });
    };
    const whole = await losses(undefined);
    const part = await losses({ supervised: 2, transformation: 0, contrast: 0.5 });
    assert.equal(part.supervised, whole.supervised);
    const expected = 2 * whole.supervised + 0.5 * whole.contrast;
    assert.ok(Math.abs(part.loss - expected) < 1e-5 * expected);
  });

  it('takes indices, soft labels and rows as the same thing', async () => {
    const rows = labels.map((label) => Array.from({ length: 7 }, (_, k) => (k === label ? 1 : 0)));
    const flat = Float32Array.from(rows.flat());
    for (const form of [labels, Int32Array.from(labels), Uint8Array.from(labels), rows, flat]) {
      assert.deepEqual(toTargets(form as Labels, 4, 7), flat);
    }
    await using trainer = new Trainer(model);
    const soft = new Float32Array(28).fill(1 / 7);
    assert.ok((await trainer.step({ images: noise(4), labels: soft })).loss > 0);
  });

  it('gives the same bits with one thread and two, and in guard mode', async () => {
    const run = async (options: TrainerOptions): Promise<string> => {
      await using fresh = await makeModel();
      await using trainer = new Trainer(fresh, options);
      for (let i = 0; i < 3; i++)
        await trainer.step({ images: noise(5, i), labels: [...labels, 1] });
      return digest(fresh.stateDict());
    };
    const two = await run({ threads: 2 });
    assert.equal(await run({ threads: 1 }), two);
    assert.equal(await run({ threads: 2, guard: true }), two);
    assert.notEqual(await run({ threads: 2, learningRate: 0.2 }), two);
  });

  describe('refuses', () => {
    const options: [object | null, ...string[]][] = [
      [null, 'options of a trainer'],
      [{ optimizer: 'adagrad' }, 'optimizer', 'sgd, adamw, lion', 'adagrad'],
      [{ learningRate: 0 }, 'learningRate', '0 (number)'],
      [{ learningRate: NaN }, 'learningRate'],
      [{ learningRate: '0.1' }, 'learningRate', "'0.1'"],
      [{ momentum: 1 }, 'momentum'],
      [{ nesterov: 1 }, 'nesterov'],
      [{ weightDecay: -1 }, 'weightDecay'],
      [{ betas: [0.9] }, 'betas'],
      [{ betas: [0.9, 1] }, 'betas'],
      [{ eps: 0 }, 'eps'],
      [{ maxGradientNorm: -1 }, 'maxGradientNorm'],
      [{ emaDecay: 1 }, 'emaDecay'],
      [{ lossWeights: { contrast: -1 } }, 'lossWeights.contrast'],
      [{ lossWeights: 3 }, 'lossWeights'],
      [{ contrast: 'triplet' }, 'contrast', 'pairwise'],
      [{ precision: 'fp8' }, 'precision'],
      [{ threads: 1.5 }, 'threads'],
      [{ seed: 0.5 }, 'seed'],
      [{ guard: 'yes' }, 'guard'],
      [{ augmentation: { flipProbability: 2 } }, 'augmentation.flipProbability'],
      [{ augmentation: { cropPadding: -1 } }, 'augmentation.cropPadding'],
      [{ augmentation: { eraseArea: [0.5] } }, 'augmentation.eraseArea'],
      [{ augmentation: { eraseAspect: [0, 1] } }, 'augmentation.eraseAspect'],
    ];
    for (const [value, ...parts] of options) {
      it(`options ${JSON.stringify(value)}`, () =>
        rejectsWith(
          () => new Trainer(model, value as TrainerOptions),
          'ERR_INVALID_ARGUMENT',
          ...parts,
        ));
    }

    it('a precision that the device lacks', () =>
      rejectsWith(
        () => new Trainer(model, { precision: 'bf16' }),
        'ERR_UNSUPPORTED',
        'bf16',
        'cpu',
      ));

    it('wrong batches, and is as before', async () => {
      await using trainer = new Trainer(model);
      const images = noise(4);
      const before = digest(model.stateDict());
      const refuses = (
        batch: object,
        code: Parameters<typeof rejectsWith>[1],
        ...parts: string[]
      ) => rejectsWith(trainer.step(batch as TrainingBatch), code, ...parts);
      await refuses({ images, labels: [0, 1, 7, 2] }, 'ERR_LABEL_RANGE', '0 to 6', 'sample 2', '7');
      await refuses({ images, labels: [0, 1, -1, 2] }, 'ERR_LABEL_RANGE', '-1');
      await refuses({ images, labels: [0, 1, 1.5, 2] }, 'ERR_LABEL_RANGE', '1.5');
      await refuses({ images, labels: [0, 1] }, 'ERR_SHAPE_MISMATCH', '4 labels', '2');
      await refuses({ images, labels: new Float32Array(27) }, 'ERR_SHAPE_MISMATCH', '4 x 7', '27');
      await refuses({ images, labels: [[1], [1], [1], [1]] }, 'ERR_SHAPE_MISMATCH', 'sample 0');
      await refuses({ images, labels: new Float32Array(28) }, 'ERR_LABEL_RANGE', 'sum');
      await refuses({ images, labels: new Float32Array(28).fill(NaN) }, 'ERR_LABEL_RANGE');
      await refuses({ images, labels: 'happy' }, 'ERR_INVALID_ARGUMENT', 'labels');
      await refuses({ images: noise(4).subarray(1), labels }, 'ERR_SHAPE_MISMATCH', '32 x 32 x 3');
      await refuses({ images, labels, learningRate: -1 }, 'ERR_INVALID_ARGUMENT', 'learningRate');
      const broken = new Float32Array(4 * side * side * 3).fill(Infinity);
      await refuses({ images: broken, labels }, 'ERR_NOT_FINITE', 'mage 0');
      await rejectsWith(() => trainer.gradients(), 'ERR_INVALID_ARGUMENT', 'gradient');
      assert.equal(digest(model.stateDict()), before);
      assert.equal(trainer.stepCount, 0);
      await trainer.step({ images, labels });
    });

    it('a step that diverges: the weights stay as they were', async () => {
      await using fresh = await makeModel();
      await using trainer = new Trainer(fresh, { momentum: 0, weightDecay: 0 });
      await trainer.step({ images: noise(4), labels, learningRate: 1e38 });
      const before = digest(fresh.stateDict());
      const step = trainer.step({ images: noise(4), labels });
      await rejectsWith(step, 'ERR_NOT_FINITE', 'Step 2', 'learning rate', 'NaN');
      assert.equal(digest(fresh.stateDict()), before);
    });

    it('a second job meanwhile', async () => {
      await using trainer = new Trainer(model);
      const batch = { images: noise(4), labels };
      const first = trainer.step(batch);
      await rejectsWith(trainer.step(batch), 'ERR_BUSY', 'one job');
      await rejectsWith(() => trainer.fit(faces(14)), 'ERR_BUSY');
      await rejectsWith(() => trainer.gradients(), 'ERR_BUSY');
      await first;
      await trainer.step(batch);

      const events = trainer.fit(faces(14), { epochs: 1, batchSize: 7 });
      await events.next();
      await rejectsWith(trainer.step(batch), 'ERR_BUSY');
      await rejectsWith(() => trainer.fit(faces(14)), 'ERR_BUSY');
      await events.return();
      await trainer.step(batch);
    });

    it('use after close', async () => {
      await using fresh = await makeModel();
      const trainer = new Trainer(fresh);
      const batch = { images: noise(16), labels: Array.from({ length: 16 }, () => 1) };
      const running = rejectsWith(trainer.step(batch), 'ERR_ABORTED');
      trainer.close();
      trainer.close();
      await running;
      await rejectsWith(trainer.step(batch), 'ERR_CLOSED', 'trainer');
      await rejectsWith(() => trainer.gradients(), 'ERR_CLOSED');
      await rejectsWith(() => trainer.fit(faces(14)), 'ERR_CLOSED');
      await rejectsWith(() => trainer.stepCount, 'ERR_CLOSED');
      await fresh.forward({ images: noise(1) });

      const other = new Trainer(fresh);
      fresh.close();
      await rejectsWith(other.step(batch), 'ERR_CLOSED', 'model');
      await rejectsWith(() => new Trainer(fresh), 'ERR_CLOSED');
      other.close();
    });
  });
});

describe('4 Schedules', () => {
  const cosine: Schedule = {
    name: 'cosine',
    learningRate: 0.4,
    warmupSteps: 10,
    epochs: 2,
    stepsPerEpoch: 30,
  };
  const near = (actual: number, expected: number): void =>
    assert.ok(Math.abs(actual - expected) < 1e-12, `${actual} is not ${expected}`);

  it('warms up in a line, then follows half a cosine to 0', () => {
    near(learningRateAt(cosine, 0), 0.04);
    near(learningRateAt(cosine, 9), 0.4);
    near(learningRateAt(cosine, 10), 0.4);
    near(learningRateAt(cosine, 35), 0.2);
    near(learningRateAt(cosine, 60), 0);
    near(learningRateAt({ ...cosine, warmupSteps: 0 }, 0), 0.4);
  });

  it('can stay constant', () => {
    near(learningRateAt({ ...cosine, name: 'constant' }, 4), 0.2);
    near(learningRateAt({ ...cosine, name: 'constant' }, 59), 0.4);
  });

  it("knows the authors' own, an epoch at a time", () => {
    const paper: Schedule = {
      name: 'paper-code',
      learningRate: 0.002,
      warmupSteps: 0,
      epochs: 50,
      stepsPerEpoch: 191,
    };
    near(learningRateAt(paper, 0), 1e-4);
    near(learningRateAt(paper, 190), 1e-4);
    near(learningRateAt(paper, 191), 0.002);
    near(learningRateAt(paper, 26 * 191 + 5), 0.001);
    near(learningRateAt(paper, 49 * 191), 0.001 * (1 + Math.cos((Math.PI * 48) / 50)));
  });
});
