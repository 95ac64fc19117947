import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { info, Predictor, Trainer } from '../../lib/index.js';
import type { CountenanceError, Model, StepResult } from '../../lib/index.js';
import {
  digest,
  faces,
  finish,
  makeModel,
  noise,
  only,
  runTypeScript,
  side,
  textEmbeddings,
} from '../api-support.js';

/**
 * Models on a GPU, end to end, without a GPU: the CUDA backend on the emulator of its kernels, as a
 * plugin. `npm run test:cuda` builds it and sets the environment; without that everything is skipped.
 * The emulated machine has two GPUs of 1 GiB.
 */
describe('models on a GPU (the emulated one)', function () {
  this.timeout(180_000);
  const folder = mkdtempSync(join(tmpdir(), 'countenance-device-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  before(function () {
    if (info().cuda.devices[0]?.name === 'Emulated GPU') return;
    console.log('    SKIPPED: the emulated GPU was not built; npm run test:cuda builds it');
    this.skip();
  });

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

  function close(a: number, b: number, tolerance: number, what: string): void {
    assert.ok(Math.abs(a - b) <= tolerance * Math.abs(b), `${what}: ${a} but the CPU has ${b}`);
  }

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
    // Other weights reach a recorded run.
    const state = gpu.stateDict();
    const bias = state.get('MLP.fc2.bias')!;
    gpu.loadStateDict(new Map([['MLP.fc2.bias', { ...bias, data: bias.data.map((x) => x + 1) }]]), {
      strict: false,
    });
    const { neutral } = await gpu.forward({ images });
    close(neutral.data[3]!, expected.neutral.data[3]! + 1, 1e-3, 'neutral behind another bias');
  });

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

  it('may be several, on several GPUs, opened and closed', async () => {
    {
      await using first = await makeModel({ device: 'cuda:0' });
      await using second = await makeModel({ device: 'cuda:1' });
      assert.match(second.device, /^cuda:1 /);
      assert.equal(digest(first.stateDict()), digest(second.stateDict()));
    }
    // 45 MiB of weights, twice or three times as much a trainer: more than there is, were it not freed.
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

  it('say how large a batch would fit where memory is short', async () => {
    await using model = await makeModel({ device: 'cuda' });
    await using trainer = new Trainer(model);
    const many = 4096; // the most that is taken
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
    await trainer.step({ images, labels }); // and nothing is broken
  });

  describe('whose plugin is of no use', () => {
    const plugins = join(info().cuda.plugin ?? '', '..');
    /** What a process says that asks for a model, first of `auto`, then of `cuda`. */
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
        // Whoever built the plugin for GPUs has it beside the addon.
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
      assert.match(error.message, /bf16 is not supported by cpu \(.*\): it needs an NVIDIA GPU/);
      return true;
    });
  });
});
