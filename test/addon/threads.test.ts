import assert from 'node:assert/strict';
import { expectCleanEnd, runScript } from './support.js';

/** Trains in a worker until it is stopped from outside; reports each step to its parent. */
const trainForever = `
  const model = await createModel({ seed: workerData ?? 0 });
  const trainer = addon.createTrainer(model, trainerOptions);
  for (;;) {
    await trainer.step(batch());
    await model.forward(batch(2).images, 2);
    parentPort.postMessage('stepped');
  }
`;

const next = `const next = (worker) => new Promise((resolve, reject) => {
  worker.once('message', resolve); worker.once('error', reject); });`;

describe('addon: threads and the end of the process', function () {
  this.timeout(300_000);

  it('lets two workers train and predict at once, with the same bits', async () => {
    const output = await expectCleanEnd(
      runScript(
        `${next}
        const workers = [start(1), start(1)];
        const [a, b] = await Promise.all(workers.map(next));
        console.log(a.length > 0 && JSON.stringify(a) === JSON.stringify(b));`,
        `const model = await createModel({ seed: workerData, threads: 2 });
        const trainer = addon.createTrainer(model, trainerOptions);
        const results = [];
        for (let i = 0; i < 5; i++) {
          const [step, prediction] = await Promise.all([
            trainer.step(batch()), model.forward(batch(2).images, 2)]);
          results.push(step, [...prediction.logits]);
        }
        parentPort.postMessage(results);`,
      ),
    );
    assert.equal(output, 'true');
  });

  it('lets workers be terminated in the middle, again and again', async () => {
    const output = await expectCleanEnd(
      runScript(
        `${next}
        for (let round = 0; round < 4; round++) {
          const workers = [start(round), start(round)];
          await Promise.all(workers.map(next));
          // Somewhere in a step, in a forward pass, or while a promise is being settled.
          await new Promise((resolve) => setTimeout(resolve, 3 * round));
          const statuses = await Promise.all(workers.map((worker) => worker.terminate()));
          if (statuses.some((status) => status !== 1)) console.log(statuses);
        }
        console.log('ended');`,
        trainForever,
      ),
    );
    assert.equal(output, 'ended');
  });

  it('lets a worker be terminated while it makes a model', async () => {
    await expectCleanEnd(
      runScript(
        `${next}
        for (let round = 0; round < 3; round++) {
          const worker = start();
          await next(worker);
          await worker.terminate();
        }`,
        `createModel({ backbone: 'swin-t', inputSize: 112 });
        parentPort.postMessage('started');`,
      ),
    );
  });

  it('lets the main thread use the addon that a worker loaded and left', async () => {
    const output = await expectCleanEnd(
      runScript(
        `${next}
        const worker = start();
        await next(worker);
        await worker.terminate();
        const model = await createModel();
        console.log((await model.forward(batch(1).images, 1)).logits.length);`,
        trainForever,
      ),
    );
    assert.equal(output, '4');
  });

  it('ends with status 0 while nothing is closed', async () => {
    const output = await expectCleanEnd(
      runScript(`const model = await createModel();
        const trainer = addon.createTrainer(model, trainerOptions);
        await trainer.step(batch());
        console.log('stepped');`),
    );
    assert.equal(output, 'stepped');
  });

  it('does not end before its jobs have', async () => {
    const output = await expectCleanEnd(
      runScript(`const model = await createModel();
        const trainer = addon.createTrainer(model, trainerOptions);
        for (let i = 0; i < 3; i++) void trainer.step(batch()).then(() => console.log(i));`),
    );
    assert.equal(output, '0\n1\n2');
  });

  it('ends with status 0 on process.exit(0) in the middle of a step, also with workers', async () => {
    for (const delay of [0, 5, 30]) {
      await expectCleanEnd(
        runScript(
          `${next}
          const worker = start();
          const model = await createModel();
          const trainer = addon.createTrainer(model, trainerOptions);
          await next(worker);
          for (let i = 0; i < 3; i++) void trainer.step(batch(64));
          setTimeout(() => process.exit(0), ${delay});`,
          trainForever,
        ),
      );
    }
  });

  it('frees what is dropped, with jobs still running', async () => {
    const output = await expectCleanEnd(
      runScript(`const v8 = require('node:v8');
        v8.setFlagsFromString('--expose-gc');
        const gc = require('node:vm').runInNewContext('gc');
        let settled = 0;
        const drop = async () => {
          const model = await createModel();
          const trainer = addon.createTrainer(model, trainerOptions);
          for (let i = 0; i < 2; i++) void trainer.step(batch()).then(() => settled++);
        };
        for (let i = 0; i < 3; i++) {
          await drop();
          gc();
          await new Promise(setImmediate);
          gc();
        }
        process.on('exit', () => console.log(settled));`),
    );
    assert.equal(output, '6');
  });
});
