import { strict as assert } from 'node:assert';
import { Trainer } from '../../lib/index.js';
import type { Model, StateDict, StepResult } from '../../lib/index.js';
import { groupOf } from '../../lib/train/groups.js';
import { digest, makeModel, noise } from '../api-support.js';
import { close, needEmulatedGpu } from './device-support.js';

/** Steps of training on a GPU, end to end, without a GPU (see device.test.ts). */
describe('models on a GPU (the emulated one), step by step', function () {
  this.timeout(600_000);
  needEmulatedGpu();

  const images = noise(4);
  const labels = [1, 5, 3, 6];
  /** Keeps a step small relative to the loss's sensitivity: different roundings then stay small. */
  const gentle = { learningRate: 1e-3, maxGradientNorm: 10 };

  /** A few steps of one batch; its losses fall. */
  async function train(model: Model, options: object, steps: number): Promise<StepResult[]> {
    await using trainer = new Trainer(model, { ...gentle, ...options });
    const results: StepResult[] = [];
    for (let i = 0; i < steps; i++) results.push(await trainer.step({ images, labels }));
    return results;
  }

  it('train as on the CPU, and with the same bits recorded or not', async () => {
    await using cpu = await makeModel({ logitScale: 10 });
    await using recorded = await makeModel({ device: 'cuda', logitScale: 10 });
    await using direct = await makeModel({ device: 'cuda', logitScale: 10 });
    const options = { emaDecay: 0.9 };
    const expected = await train(cpu, options, 3);
    const found = await train(recorded, options, 3);
    expected.forEach((step, i) => {
      for (const name of ['loss', 'supervised', 'transformation', 'contrast'] as const) {
        close(found[i]![name], step[name], 5e-3, `${name} of step ${i}`);
      }
      close(found[i]!.gradientNorm, step.gradientNorm, 2e-2, `gradient of step ${i}`);
    });
    // The guard mode reads the memory between the operations, so nothing is recorded.
    assert.deepEqual(await train(direct, { ...options, guard: true }, 3), found);
    assert.equal(digest(direct.stateDict()), digest(recorded.stateDict()));
  });

  it('train groups of parameters as on the CPU', async () => {
    const groups = { backbone: { learningRateScale: 0 }, transformation: { weightDecay: 0.25 } };
    for (const optimizer of ['sgd', 'adamw'] as const) {
      const after = async (device: 'cpu' | 'cuda'): Promise<[StateDict, StateDict]> => {
        await using model = await makeModel({ device, logitScale: 10 });
        const before = model.stateDict();
        const options = { optimizer, weightDecayOn: 'matrices', weightDecay: 0.5, groups } as const;
        await train(model, options, 1);
        return [before, model.stateDict()];
      };
      const [before, expected] = await after('cpu');
      const [, found] = await after('cuda');
      let moved = 0;
      for (const [name, { data }] of found) {
        const old = before.get(name)!.data;
        if (groupOf(name) === 'backbone' && !name.includes('running_')) {
          assert.deepEqual(data, old, `${name} stays where it is with ${optimizer}`);
        }
        // Relative to the change of a whole tensor: rounding decides the sign of only a few
        // gradients.
        const wanted = expected.get(name)!.data;
        const distance = (other: Float32Array) =>
          Math.sqrt(wanted.reduce((sum, value, i) => sum + (other[i]! - value) ** 2, 0));
        const change = distance(old);
        assert.ok(
          distance(data) <= 0.02 * change,
          `${name} with ${optimizer}: ${distance(data)} of ${change}`,
        );
        if (groupOf(name) === 'transformation' && change > 0) moved++;
      }
      assert.ok(moved >= 4, `${moved} tensors moved with ${optimizer}`);
    }
  });

  it('train and predict in bfloat16', async () => {
    await using cpu = await makeModel({ logitScale: 10 });
    await using gpu = await makeModel({ device: 'cuda', precision: 'bf16', logitScale: 10 });
    const [expected] = await train(cpu, {}, 1);
    const found = await train(gpu, { precision: 'bf16' }, 2);
    close(found[0]!.loss, expected!.loss, 0.05, 'loss');
    assert.ok(
      found[1]!.loss < found[0]!.loss,
      `the loss falls: ${found.map(({ loss }) => loss).join()}`,
    );
    // uint8 images, and the same ones normalised by the caller.
    const floats = Float32Array.from(images, (pixel, i) => {
      const { imageMean, imageStd } = gpu.config;
      return (pixel / 255 - imageMean[i % 3]!) / imageStd[i % 3]!;
    });
    const ofBytes = await gpu.forward({ images });
    const ofFloats = await gpu.forward({ images: floats });
    const largest = Math.max(...ofBytes.logits.data.map(Math.abs));
    ofBytes.logits.data.forEach((logit, i) => {
      assert.ok(Math.abs(ofFloats.logits.data[i]! - logit) < 0.02 * largest, `logit ${i}`);
    });
  });
});
