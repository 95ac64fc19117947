import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Trainer } from '../../lib/index.js';
import type { CountenanceError } from '../../lib/index.js';
import { digest, faces, finish, makeModel, noise, only } from '../api-support.js';
import { needEmulatedGpu, temporaryFolder } from './device-support.js';

/** Whole training runs on a GPU, end to end, without a GPU (see device.test.ts). */
describe('models on a GPU (the emulated one), in whole runs', function () {
  this.timeout(600_000);
  const folder = temporaryFolder();
  needEmulatedGpu();

  const images = noise(4);
  const labels = [1, 5, 3, 6];

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

    // Aborted between two steps, some of which are ahead of the events.
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
