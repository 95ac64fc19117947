import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { Predictor, Trainer } from '../../lib/index.js';
import { digest, faces, finish, makeModel, noise, runTypeScript } from '../api-support.js';
import { temporaryDirectory } from '../data/data-support.js';

/** How late each tick of a 5 ms timer was, in ms, while `work` ran. */
async function lateness(work: Promise<unknown>): Promise<number[]> {
  const ticks: number[] = [];
  const interval = 5;
  let due = performance.now() + interval;
  const tick = (): void => {
    const now = performance.now();
    ticks.push(Math.max(0, now - due));
    due = now + interval;
    timer = setTimeout(tick, interval);
  };
  let timer = setTimeout(tick, interval);
  try {
    await work;
  } finally {
    clearTimeout(timer);
  }
  return ticks.sort((a, b) => a - b);
}

const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;

/**
 * The promise is 20 ms beyond the idle lateness. The machine may be busy with other things, and both
 * cores compute: so the median must keep it, and all but one tick in ten.
 */
function assertFree(working: readonly number[], idle: readonly number[], what: string): void {
  const figures = [0.5, 0.9, 0.99, 1]
    .map((share) => quantile(working, share).toFixed(1))
    .join(', ');
  const report = `${what}: ${working.length} ticks, late by ${figures} ms (50, 90, 99, 100 %)`;
  assert.ok(working.length > 20, report);
  assert.ok(quantile(working, 0.5) <= quantile(idle, 0.5) + 20, report);
  assert.ok(quantile(working, 0.9) <= quantile(idle, 0.9) + 20, report);
}

describe('8 The event loop is free', function () {
  this.timeout(180_000);
  const directory = temporaryDirectory();
  let idle: number[];
  before(async () => {
    for (const name of faces(1).classes) {
      const folder = directory.path('faces', name);
      await mkdir(folder, { recursive: true });
      for (let i = 0; i < 4; i++) {
        const pixels = Buffer.from(noise(64, i)); // 64 pictures of 32 x 32 as one of 256 x 256
        const raw = { width: 256, height: 256, channels: 3 as const };
        await sharp(pixels, { raw })
          .jpeg()
          .toFile(join(folder, `${i}.jpg`));
      }
    }
    idle = await lateness(new Promise((resolve) => setTimeout(resolve, 1000)));
  });

  it('while fit trains, validates and saves', async () => {
    await using model = await makeModel({ inputSize: 64 });
    await using trainer = new Trainer(model);
    const events = trainer.fit(`folder:${directory.path('faces')}`, {
      epochs: 3,
      batchSize: 14,
      validation: 0.25,
      checkpoint: directory.path('run'),
      cacheBytes: 0,
    });
    assertFree(await lateness(finish(events)), idle, 'fit');
  });

  it('while a predictor is loaded and predicts', async () => {
    const work = async (): Promise<void> => {
      await using predictor = await Predictor.load(directory.path('run'));
      const files = [0, 1, 2, 3].flatMap((i) =>
        faces(1).classes.map((name) => directory.path('faces', name, `${i}.jpg`)),
      );
      for (let i = 0; i < 4; i++) await predictor.predict(files);
    };
    assertFree(await lateness(work()), idle, 'predict');
  });

  it('while models are made, saved and initialised', async () => {
    const work = async (): Promise<void> => {
      await using model = await makeModel();
      await model.save(directory.path('saved'));
      await model.initialize(directory.path('saved'));
    };
    assertFree(await lateness(work()), idle, 'save');
  });
});

describe('9 Worker threads', function () {
  this.timeout(240_000);

  /** What each worker does: trains, predicts, and posts a digest of its weights. */
  const worker = `
    const { parentPort } = require('node:worker_threads');
    require('tsx/cjs');
    const { digest, faces, finish, makeModel } = require('./test/api-support.ts');
    const { Predictor, Trainer } = require('./lib/index.ts');
    (async () => {
      const model = await makeModel({ threads: 1 });
      const trainer = new Trainer(model);
      const predictor = new Predictor(model);
      const data = faces(28);
      for (let round = 0; round < rounds; round++) {
        await finish(trainer.fit(data, { epochs: 1, batchSize: 7 }));
        parentPort.postMessage({ round, label: (await predictor.predict(await data.load(0))).label });
      }
      parentPort.postMessage({ digest: digest(model.stateDict()) });
    })();`;
  const start = (rounds: number): string => `
    const code = ${JSON.stringify(`const rounds = ${rounds};${worker}`)};
    const start = () => new Worker(code, { eval: true });`;

  it('train and predict two at a time, with the bits of one', async () => {
    const script = `${start(2)}
      for (const worker of [start(), start()]) {
        worker.on('message', ({ digest }) => digest && console.log(digest));
      }`;
    const { status, output, errors } = await runTypeScript(script).end;
    assert.equal(status, 0, errors);
    await using model = await makeModel({ threads: 2 });
    await using trainer = new Trainer(model);
    for (let round = 0; round < 2; round++) {
      await finish(trainer.fit(faces(28), { epochs: 1, batchSize: 7 }));
    }
    const expected = digest(model.stateDict());
    assert.deepEqual(output.trim().split('\n'), [expected, expected]);
  });

  it('may be terminated in the middle: the process ends with status 0', async () => {
    const script = `${start(1000)}
      const workers = [start(), start()];
      for (const worker of workers) worker.once('message', () => worker.terminate());
      for (const worker of workers) worker.on('exit', (code) => console.log('exit', code));`;
    const end = await runTypeScript(script).end;
    assert.deepEqual(
      { status: end.status, signal: end.signal, output: end.output, errors: end.errors },
      { status: 0, signal: null, output: 'exit 1\nexit 1\n', errors: '' },
    );
  });
});
