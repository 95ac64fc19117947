import { extname, join } from 'node:path';
import { CountenanceError } from '../errors.js';
import { kindOf } from '../files.js';
import type { NativeTensorInfo } from '../native.js';
import type { TensorData } from '../types.js';
import { readSafetensors } from '../weights/safetensors.js';
import { modelFiles } from './directory.js';
import { checkState, compareState, inTurns, isIgnored, type ShapeMismatch } from './state.js';

/** Options of {@link Model.initialize}. */
export interface InitializeOptions {
  /** Takes only names that start with this, and takes it off. */
  readonly prefix?: string;
  /** Gives each name (without the prefix) its name here; undefined leaves it out. */
  readonly rename?: (name: string) => string | undefined;
}

/** What {@link Model.initialize} did. */
export interface InitializeReport {
  /** Names of the model that got new values. */
  readonly loaded: readonly string[];
  /** Names of the model that found nothing and keep their values. */
  readonly missing: readonly string[];
  /** Names of the source that were of no use. */
  readonly unexpected: readonly string[];
  /** Names whose shape in the source is not the model's; they keep their values. */
  readonly mismatched: readonly ShapeMismatch[];
}

/** Reads weights and gives them the names of the model. */
export async function pickWeights(
  weights: string | ReadonlyMap<string, TensorData>,
  options: InitializeOptions,
  what: string,
  known: readonly NativeTensorInfo[],
): Promise<{ readonly tensors: Map<string, TensorData>; readonly report: InitializeReport }> {
  const source = typeof weights === 'string' ? await readWeights(weights) : weights;
  await inTurns(checkState(source, what));
  const { prefix = '', rename = (name: string) => name } = options;
  const names = new Set(known.map(({ name }) => name));
  const tensors = new Map<string, TensorData>();
  const unexpected: string[] = [];
  for (const [original, tensor] of source) {
    const inner = original.startsWith(prefix) ? rename(original.slice(prefix.length)) : undefined;
    const candidates = inner === undefined ? [] : [inner, `encoder.${inner}`];
    const name = candidates.find((candidate) => names.has(candidate));
    if (name !== undefined) tensors.set(name, tensor);
    else if (!isIgnored(original)) unexpected.push(original);
  }
  const { fitting, missing, mismatched } = compareState(known, tensors);
  if (fitting.length === 0) {
    const sample = [...source.keys()].slice(0, 3).join(', ');
    throw new CountenanceError(
      'ERR_SHAPE_MISMATCH',
      `Nothing of ${what} fits the model: its names start with ${sample}, the model's with ` +
        `${known
          .slice(0, 3)
          .map(({ name }) => name)
          .join(', ')}; give a prefix or rename them`,
    );
  }
  return { tensors, report: { loaded: fitting, missing, unexpected, mismatched } };
}

async function readWeights(file: string): Promise<Map<string, TensorData>> {
  const extension = extname(file).toLowerCase();
  if (['.pt', '.pth', '.bin', '.ckpt', '.pkl'].includes(extension)) {
    throw new CountenanceError(
      'ERR_UNSUPPORTED',
      `'${file}': this version reads weights from safetensors files; ` +
        'convert it with safetensors.torch.save_file in Python',
    );
  }
  const isDirectory = (await kindOf(file)) === 'directory';
  return (await readSafetensors(isDirectory ? join(file, modelFiles.weights) : file)).tensors;
}
