import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  evaluate,
  Model,
  Trainer,
  type Dataset,
  type FitOptions,
  type TrainerOptions,
  type TrainingEvent,
} from '../../lib/index.js';
import { selectClasses, subset } from '../../lib/data/index.js';
import {
  digest,
  faces,
  finish,
  makeModel,
  noise,
  only,
  runTypeScript,
  textEmbeddings,
} from '../api-support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

const small = { batchSize: 7, epochs: 2 } as const;

/** Trains a fresh model. */
async function train(
  options: FitOptions,
  trainerOptions: TrainerOptions = {},
  data: Dataset | string = faces(28),
): Promise<{ events: TrainingEvent[]; weights: string }> {
  await using model = await makeModel();
  await using trainer = new Trainer(model, trainerOptions);
  const events = await finish(trainer.fit(data, { ...small, ...options }));
  return { events, weights: digest(model.stateDict()) };
}

describe('5 Trainer.fit', function () {
  this.timeout(120_000);
  const directory = temporaryDirectory();

  it('tells a run as a story of events', async () => {
    const path = directory.path('story');
    const { events } = await train({ validation: faces(14, 1), checkpoint: path });
    assert.deepEqual(
      events.map(({ type }) => type),
      [
        'start',
        ...['step', 'step', 'step', 'step', 'epoch', 'checkpoint'],
        ...['step', 'step', 'step', 'step', 'epoch', 'checkpoint'],
        'end',
      ],
    );
    const [start] = only(events, 'start');
    assert.equal(start!.batchSize, 7);
    assert.equal(start!.stepsPerEpoch, 4);
    assert.equal(start!.train.size, 28);
    assert.deepEqual(
      Object.values(start!.train.classCounts),
      Array.from({ length: 7 }, () => 4),
    );
    assert.equal(start!.validation?.size, 14);
    assert.equal(start!.resumed, null);

    const steps = only(events, 'step');
    assert.deepEqual(
      steps.map(({ step }) => step),
      [1, 2, 3, 4, 5, 6, 7, 8],
    );
    assert.ok(
      steps.every(({ totalSteps, imagesPerSecond }) => totalSteps === 8 && imagesPerSecond > 0),
    );
    assert.equal(steps[0]!.learningRate, 0.1, 'one step of warm-up: a fifth of 8');
    assert.ok(steps[7]!.learningRate < 0.01);

    const [first, second] = only(events, 'epoch');
    const mean = steps.slice(0, 4).reduce((sum, { loss }) => sum + loss / 4, 0);
    assert.ok(Math.abs(first!.loss - mean) < 1e-9);
    assert.equal(first!.validation?.count, 14);
    assert.equal(first!.best, true);

    const [end] = only(events, 'end');
    const accuracies = [first!, second!].map((epoch) => epoch.validation!.accuracy);
    assert.equal(end!.best?.accuracy, Math.max(...accuracies));
    assert.equal(end!.steps, 8);
    assert.equal(end!.model, path);

    await using best = await Model.load(path);
    const metrics = await evaluate(best, faces(14, 1));
    assert.deepEqual(metrics, [first!, second!][end!.best.epoch - 1]!.validation);
    const card = await readFile(join(path, 'README.md'), 'utf8');
    assert.ok(card.includes(`accuracy **${metrics.accuracy.toFixed(4)}**`));
    assert.ok(card.includes('best accuracy on the validation set'));
  });

  it('takes the last epoch for the best where there is no validation set', async () => {
    const path = directory.path('no-validation');
    const { events, weights } = await train({ checkpoint: path });
    assert.ok(only(events, 'epoch').every(({ best, validation }) => best && validation === null));
    assert.equal(only(events, 'end')[0]!.best, null);
    await using model = await Model.load(path);
    assert.equal(digest(model.stateDict()), weights);
  });

  it('splits a validation set off by itself', async () => {
    const { events } = await train({ validation: 0.25, epochs: 1 });
    const [start] = only(events, 'start');
    assert.equal(start!.train.size + start!.validation!.size, 28);
    assert.deepEqual(Object.values(start!.validation!.classCounts), [1, 1, 1, 1, 1, 1, 1]);
  });

  it('opens data sets by their specification, and matches their classes by name', async () => {
    const { events } = await train(
      { epochs: 1, validation: 'synthetic:7#valid' },
      {},
      'synthetic:14',
    );
    assert.equal(only(events, 'start')[0]!.train.name, 'synthetic:14');

    const renamed = { ...faces(14), classes: faces(1).classes.map((name) => name.toUpperCase()) };
    assert.equal((await train({ epochs: 1 }, {}, renamed)).events.length, 5);
  });

  it('gives the same bits for the same seed, whatever the threads and the cache', async () => {
    const { weights } = await train({}, { threads: 2 });
    assert.equal((await train({ cacheBytes: 0 }, { threads: 1 })).weights, weights);
    assert.notEqual((await train({}, { seed: 4 })).weights, weights);
    assert.notEqual((await train({}, { augmentation: { flipProbability: 0 } })).weights, weights);
  });

  it('learns soft targets', async () => {
    const hard = faces(14);
    const data: Dataset = {
      ...hard,
      targetKind: 'distribution',
      target: (index) =>
        Float32Array.from({ length: 7 }, (_, k) => (k === hard.label(index) ? 0.7 : 0.05)),
    };
    const { events } = await train({ epochs: 1 }, {}, data);
    assert.ok(only(events, 'step').every(({ supervised }) => supervised > 0));
  });

  it('cuts the batch to a small data set, and can keep the rest of an epoch', async () => {
    const cut = await train({ epochs: 1, batchSize: 64 }, {}, faces(14));
    assert.equal(only(cut.events, 'start')[0]!.batchSize, 14);
    const kept = await train({ epochs: 1, batchSize: 10, dropLast: false });
    assert.equal(only(kept.events, 'step').length, 3);
  });

  it('evaluates and saves the average of the weights, and trains on without it', async () => {
    const plain = await train({});
    const path = directory.path('average');
    const averaged = await train({ checkpoint: path, validation: faces(7, 1) }, { emaDecay: 0.9 });
    assert.equal(averaged.weights, plain.weights);
    await using best = await Model.load(path);
    await using last = await Model.load(join(path, 'last'));
    assert.notEqual(digest(best.stateDict()), digest(last.stateDict()));
  });

  it('ends where the loop is left, and the trainer goes on', async () => {
    await using model = await makeModel();
    await using trainer = new Trainer(model);
    for await (const event of trainer.fit(faces(28), small)) if (event.type === 'step') break;
    assert.equal(trainer.stepCount, 1);
    await finish(trainer.fit(faces(14), { ...small, epochs: 1 }));
    assert.equal(trainer.stepCount, 3);
  });

  describe('aborts', () => {
    const reason = new Error('coffee');

    it('before it starts', async () => {
      await using model = await makeModel();
      await using trainer = new Trainer(model);
      const events = trainer.fit(faces(28), { ...small, signal: AbortSignal.abort(reason) });
      const error = await rejectsWith(finish(events), 'ERR_ABORTED', 'Training');
      assert.equal(error.cause, reason);
      await trainer.step({ images: noise(2), labels: [0, 1] });
    });

    for (const moment of ['start', 'step', 'epoch', 'checkpoint'] as const) {
      it(`at ${moment}, with a checkpoint where asked for`, async () => {
        const path = directory.path(`abort-${moment}`);
        const controller = new AbortController();
        await using model = await makeModel();
        await using trainer = new Trainer(model);
        const checkpoint = { directory: path, onAbort: true };
        const seen: TrainingEvent[] = [];
        const run = async (): Promise<void> => {
          const events = trainer.fit(faces(28), {
            ...small,
            checkpoint,
            signal: controller.signal,
          });
          for await (const event of events) {
            seen.push(event);
            if (event.type === moment) controller.abort(reason);
          }
        };
        const error = await rejectsWith(run(), 'ERR_ABORTED', 'epoch', 'step');
        assert.equal(error.cause, reason);
        const last = seen.at(-1);
        assert.ok(last?.type === 'checkpoint' && last.reason === 'abort', last?.type);
        assert.equal(last.step, only(seen, 'step').length);
        await using saved = await Model.load(last.directory);
        assert.equal(digest(saved.stateDict()), digest(model.stateDict()));
        await trainer.step({ images: noise(2), labels: [0, 1] });
      });
    }

    it('in the middle of a step, of decoding, of validation: within moments', async () => {
      const slow: Dataset = {
        ...faces(28),
        load: (_, signal) =>
          new Promise((_resolve, reject) => {
            signal?.addEventListener('abort', () => reject(new Error('stopped')));
          }),
      };
      for (const [data, validation] of [
        [slow, null],
        [faces(7), slow],
      ] as const) {
        const controller = new AbortController();
        await using model = await makeModel();
        await using trainer = new Trainer(model);
        const events = trainer.fit(data, { ...small, validation, signal: controller.signal });
        const work = rejectsWith(finish(events), 'ERR_ABORTED');
        setTimeout(() => controller.abort(reason), 500);
        await work;
        await trainer.step({ images: noise(2), labels: [0, 1] });
      }
    });
  });

  describe('refuses', () => {
    const refuses = async (
      data: unknown,
      options: object,
      code: Parameters<typeof rejectsWith>[1],
      ...parts: string[]
    ): Promise<void> => {
      await using model = await makeModel();
      await using trainer = new Trainer(model);
      const run = async (): Promise<unknown> =>
        finish(trainer.fit(data as Dataset, { ...small, ...options }));
      await rejectsWith(run(), code, ...parts);
      await trainer.step({ images: noise(2), labels: [0, 1] });
    };

    it('wrong options at once, by name', async () => {
      await using model = await makeModel();
      await using trainer = new Trainer(model);
      const bad: [object, ...string[]][] = [
        [{ epochs: 0 }, 'epochs'],
        [{ batchSize: 2.5 }, 'batchSize'],
        [{ batchSize: 100_000 }, 'batchSize', '4096'],
        [{ validation: 1 }, 'validation', 'share'],
        [{ validation: {} }, 'validation', 'data set'],
        [{ schedule: 'step' }, 'schedule', 'cosine'],
        [{ dropLast: 'no' }, 'dropLast'],
        [{ checkpoint: '' }, 'checkpoint'],
        [{ checkpoint: { directory: 'x', everySteps: 0 } }, 'checkpoint.everySteps'],
        [{ resume: 3 }, 'resume'],
        [{ signal: 'now' }, 'signal'],
        [{ cacheBytes: -1 }, 'cacheBytes'],
      ];
      for (const [options, ...parts] of bad) {
        await rejectsWith(() => trainer.fit(faces(7), options), 'ERR_INVALID_ARGUMENT', ...parts);
      }
      await rejectsWith(
        () => trainer.fit(5 as unknown as string),
        'ERR_INVALID_ARGUMENT',
        'dataset',
      );
      const tooLong = finish(trainer.fit(faces(28), { ...small, warmupSteps: 9 }));
      await rejectsWith(tooLong, 'ERR_INVALID_ARGUMENT', 'warmupSteps', '8');
    });

    it('data that cannot be trained on', async () => {
      await refuses(subset(faces(7), []), {}, 'ERR_DATASET_EMPTY', 'synthetic:7');
      await refuses(faces(5), {}, 'ERR_DATASET_CLASS_EMPTY', 'anger, neutral');
      await refuses(
        selectClasses(faces(7), ['anger', 'neutral']),
        {},
        'ERR_DATASET_CLASS_EMPTY',
        'fear',
      );
      const foreign = { ...faces(7), classes: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] };
      await refuses(foreign, {}, 'ERR_DATASET_FORMAT', 'which the model does not know');
      await refuses('folder:nowhere', {}, 'ERR_FILE_NOT_FOUND', 'nowhere');
      await refuses('jpeg:faces', {}, 'ERR_DATASET_FORMAT', 'jpeg');
      await refuses(faces(7), { validation: subset(faces(7), []) }, 'ERR_DATASET_EMPTY');
    });

    it('a picture that cannot be decoded, by its name', async () => {
      const folder = directory.path('faces');
      for (const name of faces(1).classes) {
        await mkdir(join(folder, name), { recursive: true });
        await writeFile(join(folder, name, 'x.png'), 'no picture at all');
      }
      await refuses(`folder:${folder}`, {}, 'ERR_IMAGE_DECODE', 'x.png');
    });

    it('weights that diverge, and says what to try', async () => {
      await using model = await makeModel();
      await using trainer = new Trainer(model, { learningRate: 1e30 });
      const run = finish(trainer.fit(faces(28), { ...small, warmupSteps: 0 }));
      await rejectsWith(run, 'ERR_NOT_FINITE', 'Step 2', 'lower learning rate');
    });

    it('an output that cannot be written', async () => {
      const file = directory.path('a-file');
      await writeFile(file, '');
      await refuses(faces(7), { epochs: 1, checkpoint: file }, 'ERR_WRITE', file);
      await refuses(faces(7), { epochs: 1, checkpoint: join(file, 'x') }, 'ERR_WRITE', file);
    });

    it('a limit on file sizes, and leaves the earlier model whole', async () => {
      const path = directory.path('limited');
      const weights = await saveModel(path);
      const end = await runTypeScript(trainInto(path), 'ulimit -f 20000').end;
      assert.equal(end.status, 0, end.errors);
      assert.match(
        end.output,
        /^ERR_WRITE Could not write '.*limited.*': the file is larger than allowed/,
      );
      await assertIntact(path, weights);
    });

    it('a full disk, and leaves the earlier model whole', async function () {
      const disk = directory.path('disk');
      await mkdir(disk);
      try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=80m', 'tmpfs', disk], {
          stdio: 'ignore',
        });
      } catch {
        console.log('      skipped: mounting a small tmpfs needs the right to mount');
        this.skip();
      }
      try {
        const path = join(disk, 'model');
        const weights = await saveModel(path);
        const end = await runTypeScript(trainInto(path)).end;
        assert.equal(end.status, 0, end.errors);
        assert.match(
          end.output,
          /^ERR_WRITE Could not write '.*model.*': no space left on the device/,
        );
        await assertIntact(path, weights);
      } finally {
        execFileSync('umount', [disk]);
      }
    });
  });
});

async function saveModel(path: string): Promise<string> {
  await using model = await makeModel({ seed: 77 });
  await model.save(path);
  return digest(model.stateDict());
}

/** A script that trains one epoch into a directory and prints what it threw. */
function trainInto(path: string): string {
  return `
    process.on('SIGXFSZ', () => {}); // the limit then is an error of write()
    void (async () => {
      const trainer = new api.Trainer(await makeModel());
      const options = { epochs: 1, batchSize: 7, checkpoint: ${JSON.stringify(path)} };
      try { await finish(trainer.fit(faces(7), options)); console.log('no error'); }
      catch (error) { console.log(error.code, error.message); }
    })();`;
}

async function assertIntact(path: string, weights: string): Promise<void> {
  await using model = await Model.load(path);
  assert.equal(digest(model.stateDict()), weights);
  const left = (await readdir(path)).filter((name) => name.startsWith('.'));
  assert.deepEqual(left, [], 'nothing half-written is left');
  assert.ok(!existsSync(join(path, 'last', 'model.safetensors')));
}

describe('6 evaluate', function () {
  this.timeout(60_000);

  it('counts, reports progress and does not depend on the batch size', async () => {
    await using model = await makeModel();
    const seen: string[] = [];
    const metrics = await evaluate(model, faces(20), {
      batchSize: 8,
      onProgress: ({ done, total }) => seen.push(`${done}/${total}`),
    });
    assert.deepEqual(seen, ['8/20', '16/20', '20/20']);
    assert.equal(metrics.count, 20);
    assert.deepEqual(
      await evaluate(model, 'synthetic:20#train,seed=1', { batchSize: 20 }),
      metrics,
    );
  });

  it('counts the most probable class of soft targets', async () => {
    await using model = await makeModel({ textEmbeddings });
    const hard = faces(14);
    const drawn: Dataset = {
      ...hard,
      targetKind: 'drawn',
      target: () => new Float32Array(7).fill(1 / 7),
    };
    assert.deepEqual(await evaluate(model, drawn), await evaluate(model, hard));
  });

  it('refuses an empty set, wrong arguments and a signal that is aborted', async () => {
    await using model = await makeModel();
    await rejectsWith(evaluate(model, subset(faces(7), [])), 'ERR_DATASET_EMPTY');
    await rejectsWith(
      evaluate(model, faces(7), { batchSize: 0 }),
      'ERR_INVALID_ARGUMENT',
      'batchSize',
    );
    const signal = AbortSignal.abort();
    await rejectsWith(evaluate(model, faces(7), { signal }), 'ERR_ABORTED');
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    const options = { batchSize: 2, signal: controller.signal, onProgress };
    await rejectsWith(evaluate(model, faces(14), options), 'ERR_ABORTED');
  });
});
