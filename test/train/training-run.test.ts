import assert from 'node:assert/strict';
import { Trainer, type Model, type TrainingRun } from '../../lib/index.js';
import { digest, faces, finish, makeModel, noise } from '../api-support.js';
import { rejectsWith } from '../data/data-support.js';

const small = { batchSize: 7, epochs: 2 } as const;

describe('7 TrainingRun', function () {
  this.timeout(60_000);
  let model: Model;
  let trainer: Trainer;
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);

  beforeEach(async () => {
    model = await makeModel();
    trainer = new Trainer(model);
    unhandled.length = 0;
    process.on('unhandledRejection', note);
  });
  afterEach(async () => {
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', note);
    model.close();
    assert.deepEqual(unhandled, []);
  });
  const works = () => trainer.step({ images: noise(2), labels: [0, 1] });

  it('trains to the end where it is awaited, to the bits of one that is iterated', async () => {
    const end = await trainer.fit(faces(14), small);
    assert.equal(end.type, 'end');
    assert.equal(end.steps, 4);
    assert.equal(trainer.stepCount, 4);
    await works();

    await using other = await makeModel();
    const events = await finish(new Trainer(other).fit(faces(14), small));
    assert.deepEqual({ ...events.at(-1), seconds: 0 }, { ...end, seconds: 0 });
    await using third = await makeModel();
    await new Trainer(third).fit(faces(14), small);
    assert.equal(digest(third.stateDict()), digest(other.stateDict()));
  });

  it('does nothing before it is iterated or awaited', async () => {
    trainer.fit(faces(14), small);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(trainer.stepCount, 0);
    await works();
  });

  it('trains once, however often it is awaited, and is free when it has ended', async () => {
    const run = trainer.fit(faces(14), small);
    const [first, second] = await Promise.all([run, run]);
    assert.equal(first, second);
    assert.equal(await run, first);
    assert.equal(trainer.stepCount, 4);
    assert.equal(await run.finally(() => undefined), first);
    assert.equal(await run.catch(() => null), first);
  });

  it('throws wrong arguments at once', async () => {
    await rejectsWith(
      () => trainer.fit(faces(14), { epochs: 0 }),
      'ERR_INVALID_ARGUMENT',
      'epochs',
    );
    const busy = works();
    await rejectsWith(() => trainer.fit(faces(14)), 'ERR_BUSY');
    await busy;
  });

  it('rejects with what went wrong, and with ERR_ABORTED after an abort', async () => {
    const failed = trainer.fit('folder:nowhere', small);
    const error = await rejectsWith(failed, 'ERR_FILE_NOT_FOUND', 'nowhere');
    assert.equal(await failed.catch((again: unknown) => again), error);

    const controller = new AbortController();
    const reason = new Error('coffee');
    const aborted = trainer.fit(faces(14), { ...small, epochs: 99, signal: controller.signal });
    setTimeout(() => controller.abort(reason), 100);
    assert.equal((await rejectsWith(aborted, 'ERR_ABORTED', 'Training')).cause, reason);
    await works();
  });

  it('gives those who await it the end of an iteration, during and after it', async () => {
    const run = trainer.fit(faces(14), small);
    let during: Promise<unknown> | undefined;
    let last: unknown;
    for await (const event of run) {
      during ??= run.then((end) => {
        assert.equal(trainer.stepCount, 4); // the trainer is free
        return end;
      });
      last = event;
    }
    assert.equal(await during, last);
    assert.equal(await run, last);
    assert.equal(trainer.stepCount, 4);
  });

  it('tells those who await it that the loop was left', async () => {
    const run = trainer.fit(faces(14), small);
    let during: Promise<unknown> | undefined;
    for await (const event of run) {
      during ??= rejectsWith(run, 'ERR_INVALID_ARGUMENT', 'left before its end');
      if (event.type === 'step') break;
    }
    await during;
    await rejectsWith(run, 'ERR_INVALID_ARGUMENT', 'left before its end');
    assert.equal(trainer.stepCount, 1);
    await works();

    const unused = trainer.fit(faces(14), small);
    assert.deepEqual(await unused.return(), { done: true, value: undefined });
    await rejectsWith(unused, 'ERR_INVALID_ARGUMENT', 'left before its end');
    assert.equal(trainer.stepCount, 2);
  });

  it('may be left at its end event', async () => {
    const run = trainer.fit(faces(14), small);
    for await (const event of run) if (event.type === 'end') break;
    assert.equal((await run).steps, 4);
  });

  it('tells those who await it the error of the iteration', async () => {
    const run = trainer.fit(faces(14), small);
    await run.next();
    const mine = new RangeError('mine');
    await assert.rejects(run.throw(mine), mine);
    await assert.rejects(async () => run, mine);
    assert.deepEqual(await run.next(), { done: true, value: undefined });
    await works();
  });

  it('leaves no unhandled rejection where it is only iterated', async () => {
    await rejectsWith(finish(trainer.fit('folder:nowhere', small)), 'ERR_FILE_NOT_FOUND');
    for await (const event of trainer.fit(faces(14), small)) if (event.type === 'step') break;
  });

  it('is not iterated where it is awaited, but can be ended', async () => {
    const run = trainer.fit(faces(14), { ...small, epochs: 99 });
    const end = rejectsWith(run, 'ERR_INVALID_ARGUMENT', 'left before its end');
    await new Promise((resolve) => setImmediate(resolve));
    await rejectsWith(run.next(), 'ERR_BUSY', 'awaited');
    await run.return();
    await end;
    await rejectsWith(run.next(), 'ERR_BUSY', 'awaited');
    await works();
  });

  it('is awaited by an async function that returns it, not by one that wraps it', async () => {
    const returned = async () => trainer.fit(faces(14), small);
    assert.equal((await returned()).type, 'end');
    const wrapped = async (): Promise<{ run: TrainingRun }> => ({
      run: trainer.fit(faces(14), small),
    });
    const { run } = await wrapped();
    assert.equal(trainer.stepCount, 4);
    await using same = run;
    assert.equal((await same.next()).value?.type, 'start');
  });
});
