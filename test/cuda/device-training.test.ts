import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Trainer } from '../../lib/index.js';
import type { CountenanceError, Model, StepResult } from '../../lib/index.js';
import { digest, faces, finish, makeModel, noise, only } from '../api-support.js';
import { close, needEmulatedGpu, temporaryFolder } from './device-support.js';

/** Training on a GPU, end to end, without a GPU (see device.test.ts). */
describe('models on a GPU (the emulated one), in training', function () {
  this.timeout(600_000);
  needEmulatedGpu();
  const folder = temporaryFolder();

  const images = noise(4);
  const labels = [1, 5, 3, 6];
  /** So that a step is small against what the loss is sensitive to: other roundings then stay small. */
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
    // The guard mode looks at the memory between the operations, so that nothing is recorded.
    assert.deepEqual(await train(direct, { ...options, guard: true }, 3), found);
    assert.equal(digest(direct.stateDict()), digest(recorded.stateDict()));
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

  it('are fitted with events, checkpoints and a resume of the same bits', async () => {
    const fit = async (name: string, resume?: string) => {
      await using model = await makeModel({ device: 'cuda' });
      await using trainer = new Trainer(model, { learningRate: 0.01, emaDecay: 0.5 });
      const events = await finish(
        trainer.fit(faces(8), {
          epochs: 1,
          batchSize: 2,
          checkpoint: { directory: join(folder, name), everySteps: 2 },
          ...(resume !== undefined && { resume }),
        }),
      );
      return { events, digest: digest(model.stateDict()) };
    };
    const straight = await fit('straight');
    const steps = only(straight.events, 'step').map(({ step }) => step);
    assert.deepEqual(steps, [1, 2, 3, 4]);
    assert.deepEqual(
      straight.events.map(({ type }) => type),
      [
        ...['start', 'step', 'step', 'checkpoint', 'step', 'step', 'checkpoint'],
        ...['epoch', 'checkpoint', 'end'],
      ],
    );

    // Left between two steps, some of which are ahead of the events.
    await using model = await makeModel({ device: 'cuda' });
    await using trainer = new Trainer(model, { learningRate: 0.01, emaDecay: 0.5 });
    const stop = new AbortController();
    const interrupted = async () => {
      for await (const event of trainer.fit(faces(8), {
        epochs: 1,
        batchSize: 2,
        checkpoint: { directory: join(folder, 'left'), onAbort: true },
        signal: stop.signal,
      })) {
        if (event.type === 'step') stop.abort();
      }
    };
    await assert.rejects(interrupted(), (error: CountenanceError) => error.code === 'ERR_ABORTED');
    const saved = JSON.parse(
      readFileSync(join(folder, 'left', 'last', 'trainer_state.json'), 'utf8'),
    ) as { progress: { step: number; position: number; totals: { images: number } } };
    const { step, position, totals } = saved.progress;
    assert.equal(step, trainer.stepCount);
    assert.equal(position, 2 * step);
    assert.equal(totals.images, 2 * step);
    assert.ok(step >= 1 && step <= 3, `${step} steps`);
    const resumed = await fit('left', join(folder, 'left'));
    assert.equal(resumed.digest, straight.digest);
  });

  it('stay as they were where training diverges, with steps on their way', async () => {
    await using model = await makeModel({ device: 'cuda' });
    await using trainer = new Trainer(model, { learningRate: 1e20, momentum: 0 });
    await trainer.step({ images, labels });
    const before = digest(model.stateDict());
    const run = finish(trainer.fit(faces(12), { epochs: 1, batchSize: 2, warmupSteps: 0 }));
    await assert.rejects(run, (error: CountenanceError) => {
      assert.equal(error.code, 'ERR_NOT_FINITE');
      assert.match(error.message, /^Step 2 with learning rate/);
      return true;
    });
    assert.equal(digest(model.stateDict()), before);
    assert.equal(trainer.stepCount, 1);
  });
});
