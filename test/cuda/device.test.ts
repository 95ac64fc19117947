import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import { info, Predictor, Trainer } from '../../lib/index.js';
import { decodeImage, resizeImage } from '../../lib/data/index.js';
import type { CountenanceError } from '../../lib/index.js';
import {
  digest,
  makeModel,
  noise,
  runTypeScript,
  side,
  textEmbeddings,
  watchImages,
} from '../api-support.js';
import { close, needEmulatedGpu, temporaryFolder } from './device-support.js';

/**
 * Models on a GPU, end to end, without a GPU: the CUDA backend on the emulator of its kernels, as a
 * plugin. Their training: device-training.test.ts, device-fit.test.ts. The files are separate so
 * that tools/test-cuda.mjs can run them side by side.
 */
describe('models on a GPU (the emulated one)', function () {
  this.timeout(600_000);
  const folder = temporaryFolder();
  needEmulatedGpu();

  const images = noise(4);
  const labels = [1, 5, 3, 6];

  it('are told about', () => {
    const { cuda } = info();
    assert.equal(cuda.available, true);
    assert.equal(cuda.reason, '');
    assert.match(cuda.plugin ?? '', /emulated_plugin\.so$/);
    assert.equal(cuda.driver, '13.0');
    assert.deepEqual(
      cuda.devices.map(({ index, computeCapability, memoryBytes }) => ({
        index,
        computeCapability,
        memoryBytes,
      })),
      [0, 1].map((index) => ({ index, computeCapability: '8.0', memoryBytes: 2 ** 30 })),
    );
  });

  it('hold the same weights and give the same outputs as on the CPU', async () => {
    await using cpu = await makeModel();
    await using gpu = await makeModel({ device: 'cuda' });
    assert.match(gpu.device, /^cuda:0 \(Emulated GPU\)$/);
    assert.equal(digest(gpu.stateDict()), digest(cpu.stateDict()));
    const expected = await cpu.forward({ images });
    // One by one, recorded, replayed.
    for (let run = 0; run < 3; run++) {
      const outputs = await gpu.forward({ images });
      for (const name of ['logits', 'expression', 'neutral'] as const) {
        const largest = Math.max(...expected[name].data.map(Math.abs));
        outputs[name].data.forEach((value, i) => {
          const error = Math.abs(value - expected[name].data[i]!) / largest;
          assert.ok(error < 1e-4, `${name}[${i}] of run ${run}: ${error}`);
        });
      }
    }
    // A recorded run uses changed weights.
    const state = gpu.stateDict();
    const bias = state.get('MLP.fc2.bias')!;
    gpu.loadStateDict(new Map([['MLP.fc2.bias', { ...bias, data: bias.data.map((x) => x + 1) }]]), {
      strict: false,
    });
    const { neutral } = await gpu.forward({ images });
    close(neutral.data[3]!, expected.neutral.data[3]! + 1, 1e-3, 'neutral behind another bias');
  });

  it('may be several, on several GPUs, opened and closed', async () => {
    {
      await using first = await makeModel({ device: 'cuda:0' });
      await using second = await makeModel({ device: 'cuda:1' });
      assert.match(second.device, /^cuda:1 /);
      assert.equal(digest(first.stateDict()), digest(second.stateDict()));
    }
    // 45 MiB of weights, two or three times that per trainer: more than there is if it were not
    // freed.
    for (let round = 0; round < 6; round++) {
      const model = await makeModel({ device: 'cuda' });
      new Trainer(model).close();
      new Trainer(model, { optimizer: 'adamw' });
      model.close();
    }
    await assert.rejects(makeModel({ device: 'cuda:2' }), (error: CountenanceError) => {
      assert.equal(error.code, 'ERR_DEVICE_UNAVAILABLE');
      assert.match(error.message, /'cuda:2' is not available: there is no GPU cuda:2; .* has 2/);
      return true;
    });
  });

  it('give all memory back: closed, out of memory, aborted, in a worker that is terminated', async () => {
    const worker = `
      const { parentPort } = require('node:worker_threads');
      require('tsx/cjs');
      const { makeModel, noise } = require('./test/api-support.ts');
      const { Trainer } = require('./lib/index.ts');
      (async () => {
        const trainer = new Trainer(await makeModel({ device: 'cuda:1' }));
        for (;;) {
          const step = trainer.step({ images: noise(2), labels: [1, 2] });
          parentPort.postMessage('begun');
          await step;
        }
      })();`;
    const script = `
      const told = (error) => console.log(error.code);
      async function main() {
        const worker = new Worker(${JSON.stringify(worker)}, { eval: true });
        worker.once('message', () => worker.terminate());
        await new Promise((resolve) => worker.once('exit', resolve));
        // The next model finds the memory of the previous one free.
        for (const device of ['cuda:1', 'cuda', 'cuda', 'cuda']) {
          const model = await makeModel({ device });
          const trainer = new api.Trainer(model, { emaDecay: 0.5 });
          const stop = new AbortController();
          const run = async () => {
            const options = { epochs: 1, batchSize: 2, signal: stop.signal };
            for await (const { type } of trainer.fit(faces(8), options)) {
              if (type === 'start') stop.abort();
            }
          };
          await run().catch(told);
          const many = { images: new Uint8Array(4096 * side * side * 3), labels: Array(4096).fill(1) };
          await trainer.step(many).catch(told);
          const predictor = new api.Predictor(model);
          await predictor.predict({ data: noise(1), width: side, height: side, channels: 3 });
          predictor.close();
          trainer.close();
          model.close();
        }
      }
      void main();`;
    // One model with its trainer takes 180 MiB of weights, gradients, velocities and means.
    const environment = 'export EMULATED_REPORT=1 EMULATED_MEMORY=320';
    const { status, output, errors } = await runTypeScript(script, environment).end;
    assert.equal(status, 0, errors);
    assert.deepEqual(output.trim().split('\n'), [
      ...Array.from({ length: 4 }, () => ['ERR_ABORTED', 'ERR_OUT_OF_MEMORY']).flat(),
      'left on the GPUs: 0 bytes, 0 blocks, 0 handles',
    ]);
  });

  it('are what device auto takes, also for a Predictor', async () => {
    const directory = join(folder, 'model');
    await using model = await makeModel({ device: 'auto' });
    assert.match(model.device, /^cuda:0/);
    await model.save(directory);
    await using predictor = await Predictor.load(directory, { precision: 'bf16' });
    assert.match(predictor.model.device, /^cuda:0/);
    const image = { data: noise(1), width: side, height: side, channels: 3 as const };
    const predictions = await predictor.predict([image, image, image]);
    assert.equal(predictions.length, 3);
    assert.deepEqual(predictions[0], predictions[2]);
  });

  it('resize the pictures of a Predictor, with the same bits as the host', async () => {
    await using model = await makeModel({ device: 'cuda' });
    // Frames of a camera, larger and smaller, the model's size in one axis and in both, a single
    // pixel.
    const sizes = [
      [160, 120],
      [20, 45],
      [side, 50],
      [side, side],
      [1, 1],
    ] as const;
    const pictures = sizes.map(([width, height], i) => {
      const values = { length: width * height * 4 };
      const data = Uint8Array.from(values, (_, k) => (k * (31 + i) + (k >> 5) * 7) % 256);
      return { data, width, height, channels: 4 }; // its alpha is dropped
    });
    const predictor = new Predictor(model, { flip: true }); // mirrored as well
    const handed = watchImages(model);
    const predictions = await predictor.predict(pictures);
    handed.stop();
    assert.deepEqual(
      handed.widths,
      sizes.map(([width]) => width),
      'each crosses into the addon once',
    );
    const resized = await Promise.all(
      pictures.map(async (picture) => {
        const data = await resizeImage(await decodeImage(picture), side);
        return { data, width: side, height: side };
      }),
    );
    assert.deepEqual(await predictor.predict(resized), predictions);
    const wide = { data: new Uint8Array(32_769 * 3), width: 32_769, height: 1 };
    await assert.rejects(new Predictor(model).predict(wide), (error: CountenanceError) => {
      assert.equal(error.code, 'ERR_IMAGE_SIZE');
      assert.match(error.message, /32769 x 1 has a side of more than 32768 pixels/);
      return true;
    });
  });

  it('say how large a batch would fit where memory is short', async () => {
    await using model = await makeModel({ device: 'cuda' });
    await using trainer = new Trainer(model);
    const many = 4096; // the largest batch accepted
    const step = trainer.step({
      images: new Uint8Array(many * side * side * 3),
      labels: Array.from({ length: many }, () => 1),
    });
    await assert.rejects(step, (error: CountenanceError) => {
      assert.equal(error.code, 'ERR_OUT_OF_MEMORY');
      assert.match(
        error.message,
        /A batch of 4096 does not fit into memory \(cannot allocate \d+ bytes .* MiB are free\); a batch of \d+ would fit/,
      );
      return true;
    });
    await trainer.step({ images, labels }); // and everything still works
  });

  describe('whose plugin is of no use', () => {
    const plugins = join(info().cuda.plugin ?? '', '..');
    /** What a process prints that asks for a model, first on `auto`, then on `cuda`. */
    async function told(environment: string): Promise<{ output: string; errors: string }> {
      const script = `
        process.on('warning', (warning) => console.log('warning:', warning.message));
        async function main() {
          for (let i = 0; i < 2; i++) (await makeModel({ device: 'auto' })).close();
          console.log('reason:', api.info().cuda.reason);
          await makeModel({ device: 'cuda' }).catch((error) => console.log(error.code, error.message));
        }
        void main();`;
      const { status, output, errors } = await runTypeScript(script, environment).end;
      assert.equal(status, 0, errors);
      return { output, errors };
    }
    const plugin = (path: string): string => `export COUNTENANCE_CUDA_PLUGIN='${path}'`;
    const warnings = (output: string): number =>
      output.split('warning: The CPU is used').length - 1;

    it('fall back to the CPU silently where there is no plugin, no driver or no GPU', async () => {
      const silent = {
        // Anyone who built the plugin for GPUs has it beside the addon.
        'unset COUNTENANCE_CUDA_PLUGIN': /countenance_cuda\.so is not installed|there is no NVIDIA/,
        'export EMULATED_DRIVER=0': /there is no NVIDIA driver/,
        'export EMULATED_DEVICES=0': /there is no NVIDIA GPU/,
      };
      for (const [environment, reason] of Object.entries(silent)) {
        const { output } = await told(environment);
        assert.match(output, reason);
        assert.match(output, /ERR_DEVICE_UNAVAILABLE Device 'cuda:0' is not available: /);
        assert.equal(warnings(output), 0, output);
      }
    });

    it('fall back with one warning where something is there that does not work', async () => {
      const loud = {
        [plugin('/nowhere/plugin.so')]: /cannot be opened: \/nowhere\/plugin\.so/,
        [plugin(join(plugins, 'empty_plugin.so'))]: /is not a countenance plugin/,
        [plugin(join(plugins, 'foreign_plugin.so'))]: /was built from other sources/,
        'export EMULATED_DRIVER=12040': /driver is too old: it supports CUDA 12\.4/,
      };
      for (const [environment, reason] of Object.entries(loud)) {
        const { output } = await told(environment);
        assert.match(output, reason);
        assert.equal(warnings(output), 1, output);
      }
    });
  });

  it('need a GPU for bfloat16', async () => {
    const options = { textEmbeddings, device: 'cpu', precision: 'bf16' } as const;
    await assert.rejects(makeModel(options), (error: CountenanceError) => {
      assert.equal(error.code, 'ERR_UNSUPPORTED');
      assert.match(error.message, /bf16 is not supported by cpu \(.*\): it needs device cuda/);
      return true;
    });
  });
});
