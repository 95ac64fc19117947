import { createInterface } from 'node:readline';
import { messageOf } from '../lib/errors.js';
import { Model, Trainer, syntheticTextEmbeddings } from '../lib/index.js';
import { rafdbClasses } from '../lib/data/index.js';
import type { Precision, Scenario } from './scenarios.js';

// Our side of the benchmark, in its own process: the commands of pytorch/twin.py, answered by
// the public API.

type Step = () => Promise<number>;

/** The driver's requests. */
interface Setup extends Scenario {
  readonly threads: number;
  readonly precision: Precision;
}

/** uint8 images (batch, size, size, 3) from a small congruential generator. */
function noiseImages(batch: number, size: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length: batch * size * size * 3 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

async function setUp(setup: Setup): Promise<Step> {
  const { task, backbone, size, batch, device, precision, threads } = setup;
  const classes = rafdbClasses;
  const model = await Model.create({
    backbone,
    inputSize: size,
    classes,
    textEmbeddings: syntheticTextEmbeddings(classes),
    device,
    precision,
    threads,
  });
  const images = noiseImages(batch, size);
  if (task === 'infer') {
    return async () => {
      const { logits } = await model.forward({ images });
      return logits.data.reduce((sum, x) => sum + Math.abs(x), 0) / logits.data.length;
    };
  }
  const trainer = new Trainer(model, {
    optimizer: 'sgd',
    learningRate: 0.002,
    momentum: 0.9,
    weightDecay: 5e-4,
    maxGradientNorm: 0,
    precision,
  });
  const labels = Array.from({ length: batch }, (_, i) => i % classes.length);
  return async () => (await trainer.step({ images, labels })).loss;
}

async function timed(step: Step, count: number): Promise<object> {
  const seconds: number[] = [];
  let value = 0;
  const cpu = process.cpuUsage();
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    value = await step();
    seconds.push((performance.now() - start) / 1e3);
  }
  const { user, system } = process.cpuUsage(cpu);
  return { seconds, cpuSeconds: (user + system) / 1e6, value };
}

async function main(): Promise<void> {
  let step: Step | undefined;
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as Setup & { readonly cmd: string };
    let answer: object;
    try {
      if (request.cmd === 'setup') {
        step = await setUp(request);
        await step(); // builds the plan; not timed
        answer = { ready: true };
      } else if (request.cmd === 'run' && step) {
        answer = await timed(step, request.count);
      } else if (request.cmd === 'memory') {
        answer = { peakBytes: process.resourceUsage().maxRSS * 1024 };
      } else {
        throw new Error(`unexpected command '${request.cmd}'`);
      }
    } catch (error) {
      answer = { error: messageOf(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  // The models live until here; nothing is left to wait for.
  process.exit(0);
}

void main();
