import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { loadBinding } from '../../lib/binding.cjs';
import { Random } from '../../lib/philox.js';
import { isErrorCode } from '../../lib/errors.js';
import type {
  NativeAddon,
  NativeBatch,
  NativeGraphOptions,
  NativeModel,
  NativeModelOptions,
  NativeTrainerOptions,
} from '../../lib/native.js';

/** The addon itself, without the TypeScript layer that checks its arguments. */
export const addon = loadBinding() as NativeAddon;

export const classes = 4;
export const size = 32;
export const width = 512;

/** Seeded numbers in [-1, 1). */
export function floats(count: number, seed = 1): Float32Array {
  const random = new Random(seed, 7);
  return Float32Array.from({ length: count }, () => random.uniform() * 2 - 1);
}

/** Seeded bytes. */
export function bytes(count: number, seed = 1): Uint8Array {
  const random = new Random(seed, 8);
  return Uint8Array.from({ length: count }, () => random.below(256));
}

export const modelOptions: NativeModelOptions = {
  backbone: 'resnet18',
  inputSize: size,
  patchSize: 2,
  dropPath: 0.1,
  text: floats(classes * width),
  classes,
  neutral: 1,
  logitScale: 30,
  seed: 5,
  threads: 1,
  device: 'cpu',
  precision: 'fp32',
};

export const graphOptions: NativeGraphOptions = {
  backbone: 'resnet18',
  inputSize: size,
  patchSize: 2,
  dropPath: 0.1,
  classes,
  neutral: 1,
  logitScale: 30,
  mode: 'evaluation',
  batch: 3,
  precision: 'fp32',
};

export const trainerOptions: NativeTrainerOptions = {
  optimizer: 'sgd',
  settings: { momentum: 0.9, nesterov: false },
  weightDecay: 5e-4,
  groups: null,
  maxGradientNorm: 0,
  emaDecay: 0,
  lossWeights: { supervised: 1, transformation: 1, contrast: 1 },
  objective: { contrast: 'pairwise', labelSmoothing: 0 },
  precision: 'fp32',
  threads: 0,
  seed: 3,
  augmentation: {
    cropProbability: 0.5,
    cropPadding: 4,
    flipProbability: 0.5,
    eraseProbability: 0.5,
    eraseArea: [0.02, 0.25],
    eraseAspect: [0.3, 3.3],
  },
  guard: false,
};

/** `count` uint8 images of the test model, from a seed. */
export function images(count: number, seed = 1): Uint8Array {
  return bytes(count * size * size * 3, seed);
}

export function batch(count = 4, seed = 1): NativeBatch {
  const targets = new Float32Array(count * classes);
  for (let i = 0; i < count; i++) targets[i * classes + ((i + seed) % classes)] = 1;
  return {
    images: images(count, seed),
    targets,
    size: count,
    augment: true,
    epoch: 0,
    samples: Uint32Array.from({ length: count }, (_, i) => i),
    learningRate: 0.01,
  };
}

export function makeModel(options: Partial<NativeModelOptions> = {}): Promise<NativeModel> {
  return addon.createModel({ ...modelOptions, ...options });
}

/** The code of an error, which must be a native one with a message. */
export function codeOf(error: unknown): string {
  assert.ok(error instanceof Error, `not an Error: ${String(error)}`);
  assert.ok(error.message.length > 0, 'an error without a message');
  const { code } = error as Error & { code?: unknown };
  assert.ok(isErrorCode(code), `no known code: ${String(code)} (${error.message})`);
  return code;
}

/** Expects a throw, or a rejection, with this code. */
export async function failsWith(code: string, work: () => unknown): Promise<void> {
  let received: unknown;
  try {
    await work();
  } catch (error) {
    received = error;
  }
  assert.equal(codeOf(received), code, String(received));
}

/** Calls a method with arguments that its type forbids. */
export function call(object: object, method: string, ...args: unknown[]): unknown {
  const target: unknown = Reflect.get(object, method);
  assert.ok(typeof target === 'function', method);
  return Reflect.apply(target, object, args);
}

/** The start of a script of {@link runScript}: the addon and the tests' options. */
const prelude = `
  const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
  const { loadBinding } = require(${JSON.stringify(join(__dirname, '../..', 'lib', 'binding.cjs'))});
  const addon = loadBinding();
  const width = ${width}, classes = ${classes}, size = ${size};
  const text = Float32Array.from({ length: classes * width }, (_, i) => Math.sin(i * i + 1));
  const createModel = (options) => addon.createModel({
    ...${JSON.stringify({ ...modelOptions, text: undefined })}, text, ...options });
  const trainerOptions = ${JSON.stringify(trainerOptions)};
  const batch = (count = 4) => ({
    images: Uint8Array.from({ length: count * size * size * 3 }, (_, i) => (i * 37) % 251),
    targets: Float32Array.from({ length: count * classes }, (_, i) => (i % classes === 2 ? 1 : 0)),
    size: count, augment: true, epoch: 0,
    samples: Uint32Array.from({ length: count }, (_, i) => i), learningRate: 0.01,
  });
`;

export interface ScriptEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs JavaScript (`main`, and `worker` in each worker that `start(data)` makes) as a process. */
export function runScript(main: string, worker = ''): Promise<ScriptEnd> {
  const start = `const workerCode = ${JSON.stringify(`${prelude}(async () => {${worker}})()`)};
    const start = (data) => new Worker(workerCode, { eval: true, workerData: data });`;
  const script = `${prelude}${start}(async () => {${main}})()`;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk));
    child.on('error', reject);
    child.on('close', (status, signal) => {
      resolve({ status, signal, output, errors });
    });
  });
}

/** Expects that a script succeeded, and returns its output. */
export async function expectCleanEnd(end: Promise<ScriptEnd>): Promise<string> {
  const { status, signal, output, errors } = await end;
  assert.deepEqual({ status, signal, errors }, { status: 0, signal: null, errors: '' });
  return output.trim();
}
