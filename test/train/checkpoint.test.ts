import assert from 'node:assert/strict';
import { cp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  Trainer,
  type FitOptions,
  type TrainerOptions,
  type TrainingEvent,
} from '../../lib/index.js';
import { readSafetensors, writeSafetensors } from '../../lib/weights/index.js';
import { findCheckpoint, readCheckpointState } from '../../lib/train/checkpoint.js';
import { Random } from '../../lib/philox.js';
import {
  digest,
  digestFile,
  faces,
  finish,
  makeModel,
  only,
  runTypeScript,
} from '../api-support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

const data = faces(28);
const validation = faces(7, 1);
const small = { batchSize: 7, epochs: 2, validation } as const;

/** Everything that a finished run leaves; apart from times, equal runs leave equal bytes. */
function result(path: string): Record<string, string> {
  return {
    best: digestFile(path, 'model.safetensors'),
    card: digestFile(path, 'README.md'),
    last: digestFile(path, 'last', 'model.safetensors'),
    optimizer: digestFile(path, 'last', 'trainer_state.safetensors'),
    state: digestFile(path, 'last', 'trainer_state.json'),
  };
}

async function run(
  options: FitOptions,
  trainerOptions: TrainerOptions = {},
  until: (event: TrainingEvent) => boolean = () => false,
): Promise<TrainingEvent[]> {
  await using model = await makeModel({ seed: 1 });
  await using trainer = new Trainer(model, trainerOptions);
  const events: TrainingEvent[] = [];
  for await (const event of trainer.fit(data, { ...small, ...options })) {
    events.push(event);
    if (until(event)) break;
  }
  return events;
}

describe('7 Checkpoints', function () {
  this.timeout(180_000);
  const directory = temporaryDirectory();
  let whole: string;
  let uninterrupted: Record<string, string>;
  before(async () => {
    whole = directory.path('whole');
    await run({ checkpoint: whole });
    uninterrupted = result(whole);
  });

  it("hold a model directory and the trainer's state", async () => {
    assert.deepEqual((await readdir(join(whole, 'last'))).sort(), [
      'README.md',
      'config.json',
      'model.safetensors',
      'preprocessor_config.json',
      'text_embeddings.safetensors',
      'trainer_state.json',
      'trainer_state.safetensors',
    ]);
    const state = await readCheckpointState(await findCheckpoint(whole));
    assert.equal(state.progress.epoch, 2);
    assert.equal(state.progress.step, 8);
    assert.equal(state.stepCount, 8);
    assert.equal(state.settings.fit.batchSize, 7);
    assert.equal(state.settings.trainer.momentum, 0.9);
  });

  it('continue after an epoch with the same bits', async () => {
    const path = directory.path('epoch');
    await run({ checkpoint: path }, {}, ({ type }) => type === 'checkpoint');
    const events = await run({ checkpoint: path, resume: path });
    assert.deepEqual(only(events, 'start')[0]!.resumed, { directory: join(path, 'last'), step: 4 });
    assert.deepEqual(
      only(events, 'step').map(({ step }) => step),
      [5, 6, 7, 8],
    );
    assert.deepEqual(result(path), uninterrupted);
  });

  it('continue in the middle of an epoch with the same bits, with other threads', async () => {
    const path = directory.path('middle');
    const checkpoint = { directory: path, everySteps: 3 };
    await run({ checkpoint }, { threads: 1 }, ({ type }) => type === 'checkpoint');
    const events = await run({ checkpoint: path, resume: join(path, 'last') }, { threads: 2 });
    assert.equal(only(events, 'step')[0]!.step, 4);
    assert.deepEqual(result(path), uninterrupted);
    const means = (all: TrainingEvent[]): number[] => only(all, 'epoch').map(({ loss }) => loss);
    assert.deepEqual(means(events), means(await run({})), 'the means of the cut epoch are whole');
  });

  it('continue after an abort with the same bits', async () => {
    const path = directory.path('abort');
    const controller = new AbortController();
    const checkpoint = { directory: path, onAbort: true };
    const aborted = run({ checkpoint, signal: controller.signal }, {}, (event) => {
      if (event.type === 'step' && event.step === 6) controller.abort();
      return false;
    });
    await rejectsWith(aborted, 'ERR_ABORTED', 'epoch 2', 'step 6');
    await run({ checkpoint: path, resume: path });
    assert.deepEqual(result(path), uninterrupted);
  });

  it('continue AdamW, the average of the weights and other schedules with the same bits', async () => {
    const options: TrainerOptions = { optimizer: 'adamw', emaDecay: 0.9, maxGradientNorm: 1 };
    const [one, two] = [directory.path('adamw'), directory.path('adamw-cut')];
    const fit: FitOptions = { schedule: 'paper-code', validation: null };
    await run({ ...fit, checkpoint: one }, options);
    await run({ ...fit, checkpoint: { directory: two, everySteps: 5 } }, options, (event) => {
      return event.type === 'checkpoint' && event.step === 5;
    });
    await run({ ...fit, checkpoint: two, resume: two }, options);
    assert.deepEqual(result(two), result(one));
  });

  it('of a finished run have nothing left to do', async () => {
    const events = await run({ resume: whole });
    assert.deepEqual(
      events.map(({ type }) => type),
      ['start', 'end'],
    );
  });

  it('keep what the caller gives them', async () => {
    const path = directory.path('metadata');
    const metadata = { command: ['train', '--lr', '0.1'] };
    await run({ checkpoint: { directory: path, metadata }, epochs: 1 });
    assert.deepEqual((await readCheckpointState(join(path, 'last'))).metadata, metadata);
  });

  it('refuse other settings, and name each', async () => {
    const refuses = (fit: FitOptions, options: TrainerOptions, ...parts: string[]) =>
      rejectsWith(run({ ...fit, resume: whole }, options), 'ERR_CHECKPOINT', whole, ...parts);
    await refuses({ batchSize: 14, epochs: 3 }, {}, 'batchSize 7 (now 14)', 'epochs 2 (now 3)');
    await refuses({}, { momentum: 0.5, seed: 2 }, 'momentum 0.9 (now 0.5)', 'seed 0 (now 2)');
    await refuses({}, { augmentation: { flipProbability: 1 } }, 'augmentation.flipProbability');
    await refuses({ schedule: 'constant' }, {}, 'schedule "cosine" (now "constant")');
    await refuses({ validation: null }, {}, 'validation');
    await refuses({ validation: faces(14, 1) }, {}, 'validation.size 7 (now 14)');
  });

  it('refuse another model', async () => {
    await using model = await makeModel({ backbone: 'swin-t', inputSize: 112 });
    await using trainer = new Trainer(model, { optimizer: 'sgd' });
    const events = trainer.fit(data, { ...small, resume: whole });
    await rejectsWith(finish(events), 'ERR_CHECKPOINT', 'trainer_state.safetensors');
  });

  it('say what is wrong with them', async () => {
    const refuses = async (
      spoil: (path: string) => Promise<unknown>,
      code: Parameters<typeof rejectsWith>[1],
      ...parts: string[]
    ): Promise<void> => {
      const path = directory.path('spoiled');
      await rm(path, { recursive: true, force: true });
      await cp(join(whole, 'last'), path, { recursive: true });
      await spoil(path);
      await using model = await makeModel({ seed: 1 });
      const before = digest(model.stateDict());
      await using trainer = new Trainer(model);
      const events = trainer.fit(data, { ...small, resume: path });
      await rejectsWith(finish(events), code, path, ...parts);
      assert.equal(digest(model.stateDict()), before, 'the model is as it was');
    };
    const json = 'trainer_state.json';
    const tensors = 'trainer_state.safetensors';
    await refuses((path) => rm(path, { recursive: true }), 'ERR_FILE_NOT_FOUND');
    await refuses((path) => rm(join(path, json)), 'ERR_CHECKPOINT', json);
    await refuses((path) => writeFile(join(path, json), '{'), 'ERR_CHECKPOINT', 'not JSON');
    await refuses(
      (path) => writeFile(join(path, json), 'null'),
      'ERR_CHECKPOINT',
      'format_version',
    );
    await refuses(
      (path) => writeFile(join(path, json), '{"format_version":1}'),
      'ERR_CHECKPOINT',
      'incomplete',
    );
    await refuses((path) => rm(join(path, tensors)), 'ERR_CHECKPOINT', tensors);
    await refuses(
      (path) => rm(join(path, 'model.safetensors')),
      'ERR_CHECKPOINT',
      'model.safetensors',
    );
    await refuses((path) => writeFile(join(path, tensors), 'x'), 'ERR_SAFETENSORS', tensors);
    await refuses(
      async (path) => {
        const { tensors: slots } = await readSafetensors(join(path, tensors));
        slots.delete('velocity.MLP.fc1.bias');
        await writeSafetensors(join(path, tensors), slots);
      },
      'ERR_CHECKPOINT',
      'velocity.MLP.fc1.bias',
    );
    await refuses(
      async (path) => {
        const { tensors: slots } = await readSafetensors(join(path, tensors));
        slots.get('velocity.MLP.fc1.bias')!.data.fill(NaN);
        await writeSafetensors(join(path, tensors), slots);
      },
      'ERR_NOT_FINITE',
      'velocity.MLP.fc1.bias',
    );
  });

  it('survive SIGKILL at any moment, and the resumed run gets the same bits', async function () {
    this.timeout(400_000);
    const [path, reference] = [directory.path('killed'), directory.path('not-killed')];
    const script = (target: string): string => `
      import { existsSync } from 'node:fs';
      void (async () => {
        const path = ${JSON.stringify(target)};
        const trainer = new api.Trainer(await makeModel());
        const options = { epochs: 2, batchSize: 7, validation: faces(7, 1),
          checkpoint: { directory: path, everySteps: 2 },
          ...(existsSync(path + '/last') && { resume: path }) };
        for await (const event of trainer.fit(faces(28), options)) console.log(event.type, event.step);
      })();`;
    assert.equal((await runTypeScript(script(reference)).end).status, 0);

    const random = new Random(11, 0);
    let kills = 0;
    for (;;) {
      const child = runTypeScript(script(path));
      // Kills it during steps, validation and every part of saving: after some lines of output and some
      // more time.
      const lines = 1 + random.below(6);
      const wait = random.between(0, 150);
      void child
        .until((output) => output.split('\n').length > lines)
        .then(() => setTimeout(() => kills < 4 && child.kill('SIGKILL'), wait));
      const { status, signal, errors } = await child.end;
      if (signal !== 'SIGKILL') {
        assert.equal(status, 0, errors);
        break;
      }
      kills += 1;
    }
    assert.ok(kills > 0, 'no run was killed');
    assert.deepEqual(result(path), result(reference));
  });
});
