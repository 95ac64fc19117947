import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';
import {
  Model,
  syntheticTextEmbeddings,
  type ModelOptions,
  type StateDict,
  type TrainingEvent,
} from '../lib/index.js';
import { rafdbClasses } from '../lib/data/index.js';
import { internalsOf } from '../lib/model/model.js';
import { syntheticDataset } from '../lib/data/formats/synthetic.js';
import { Random } from '../lib/philox.js';

/** Side of the tests' pictures: the smallest that a network accepts. */
export const side = 32;

export const textEmbeddings = syntheticTextEmbeddings(rafdbClasses);

/** A small ResNet-18; equal calls give equal weights. */
export function makeModel(options: Partial<ModelOptions> = {}): Promise<Model> {
  return Model.create({
    backbone: 'resnet18',
    inputSize: side,
    textEmbeddings,
    seed: 1,
    device: 'cpu',
    threads: 2,
    ...options,
  });
}

/** `count` seeded pictures of noise, (count, side, side, 3). */
export function noise(count: number, seed = 1): Uint8Array {
  const random = new Random(seed, 99);
  return Uint8Array.from({ length: count * side * side * 3 }, () => random.below(256));
}

/** Images (B, side, side, 3), flipped from left to right pixel by pixel. */
export function mirror(images: Uint8Array): Uint8Array {
  return images.map((_, at) => {
    const [row, x, channel] = [Math.floor(at / (side * 3)), Math.floor(at / 3) % side, at % 3];
    return images[(row * side + side - 1 - x) * 3 + channel]!;
  });
}

/** Records the widths of the pictures passed to a model's forward passes, until `stop`. */
export function watchImages(model: Model): {
  readonly widths: number[];
  readonly stop: () => void;
} {
  const { native } = internalsOf(model);
  const forwardImages = native.forwardImages.bind(native);
  const widths: number[] = [];
  const watched: typeof forwardImages = (pictures, sides, flip) => {
    widths.push(...sides.filter((_, i) => i % 2 === 0));
    return forwardImages(pictures, sides, flip);
  };
  Object.defineProperty(native, 'forwardImages', { value: watched, configurable: true });
  return { widths, stop: () => Reflect.deleteProperty(native, 'forwardImages') };
}

/** Drawn faces, split 0 for training and 1 for validation. */
export function faces(count: number, split = 0) {
  return syntheticDataset(count, { seed: 1, split });
}

/** One number for all bits of a state dict. */
export function digest(state: StateDict): string {
  const hash = createHash('sha256');
  for (const [name, { shape, data }] of state) hash.update(`${name} ${shape.join()}`).update(data);
  return hash.digest('hex');
}

/** One number for all bytes of a file. */
export function digestFile(...path: string[]): string {
  return createHash('sha256')
    .update(readFileSync(join(...path)))
    .digest('hex');
}

/** Runs a training to its end and keeps the events. */
export async function finish(events: AsyncIterable<TrainingEvent>): Promise<TrainingEvent[]> {
  const all: TrainingEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

/** The events of one type. */
export function only<T extends TrainingEvent['type']>(
  events: readonly TrainingEvent[],
  type: T,
): Extract<TrainingEvent, { type: T }>[] {
  return events.filter(
    (event): event is Extract<TrainingEvent, { type: T }> => event.type === type,
  );
}

export interface ChildEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly errors: string;
}

/** A running child process. */
export interface Child {
  readonly end: Promise<ChildEnd>;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** Settles when the output so far passes the check, or at the end of the process. */
  readonly until: (check: (output: string) => boolean) => Promise<void>;
}

/** The start of the scripts of {@link runTypeScript}. */
const prelude = `
  import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
  import * as api from ${JSON.stringify(join(__dirname, '../lib/index.js'))};
  import { makeModel, noise, faces, side, finish } from ${JSON.stringify(__filename)};
  void [Worker, isMainThread, parentPort, workerData, api, makeModel, noise, faces, side, finish];
`;

/**
 * Runs TypeScript with this file's helpers and the package (`api`) in its own process.
 *
 * @param shell run by a shell before the process, such as `ulimit -f 100`
 */
export function runTypeScript(script: string, shell = ''): Child {
  const node = [process.execPath, '-r', 'tsx/cjs', '-e'];
  const { outputText } = transpileModule(prelude + script, {
    compilerOptions: {
      module: ModuleKind.CommonJS,
      target: ScriptTarget.ES2022,
      esModuleInterop: true,
    },
  });
  // Pretends to be a file in this folder, so that the script can import the sources beside it.
  const code = `const m = new (require('module'))(${JSON.stringify(__filename)}, module);
    m.filename = ${JSON.stringify(join(__dirname, 'script.ts'))};
    m.paths = module.paths;
    m._compile(${JSON.stringify(outputText)}, m.filename);`;
  const child = shell
    ? spawn('sh', ['-c', `${shell} && exec "$0" "$@"`, ...node, code], options())
    : spawn(node[0]!, [...node.slice(1), code], options());
  let output = '';
  let errors = '';
  const listeners = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
    for (const listener of listeners) listener();
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk));
  const end = new Promise<ChildEnd>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal, output, errors }));
  });
  const until = (check: (output: string) => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!check(output)) return;
        listeners.delete(look);
        resolve();
      };
      listeners.add(look);
      look();
      void end.then(() => resolve());
    });
  return { end, until, kill: (signal) => void child.kill(signal) };
}

function options() {
  const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
  return { cwd: join(__dirname, '..'), stdio };
}
