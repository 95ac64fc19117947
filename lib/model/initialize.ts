import { CountenanceError } from '../errors.js';
import type { NativeTensorInfo } from '../native.js';
import { inTurns } from '../turns.js';
import type { TensorData } from '../types.js';
import {
  matchNames,
  type Assignment,
  type Match,
  type ShapeMismatch,
} from '../weights/names/match.js';
import { openWeights } from '../weights/open.js';
import type { WeightsFormat, WeightTensor } from '../weights/weights-file.js';
import { checkState, checkTensors, listShapes } from './state.js';

/** Options of {@link Model.initialize}. */
export interface InitializeOptions {
  /** Takes only names that start with this, and takes it off. Default: found from the names. */
  readonly prefix?: string;
  /** Gives each name (without the prefix) another one before it is looked at; undefined leaves it out. */
  readonly rename?: (name: string) => string | undefined;
  /** False leaves tensors of another shape as they are instead of refusing the file. Default true. */
  readonly strict?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** A tensor that was taken after its shape was changed. */
export interface ReshapedTensor {
  readonly name: string;
  readonly from: readonly number[];
  readonly to: readonly number[];
  /** `bicubic`, `block sums`, `repeated`: see docs/weights.md. */
  readonly how: string;
}

/** What {@link Model.initialize} did. */
export interface InitializeReport {
  /** Form of the file; `tensors` for a Map. */
  readonly format: WeightsFormat | 'tensors';
  /** The family of names that fitted best, such as `Swin of Hugging Face`. */
  readonly source: string;
  /** What stood before its names: `state_dict.module.`. */
  readonly prefix: string;
  /** Names of the model that got new values. */
  readonly matched: readonly string[];
  /** Those of them whose shape had to be changed. */
  readonly reshaped: readonly ReshapedTensor[];
  /** Names of the model that found nothing and keep their values. */
  readonly missing: readonly string[];
  /** Names of the model that found another shape and keep their values; only without `strict`. */
  readonly mismatched: readonly ShapeMismatch[];
  /** Names of the source that should mean something and were not understood. */
  readonly unexpected: readonly string[];
  /** Names of the source that are of no use here: classifiers, buffers, optimizer states, other parts. */
  readonly ignored: readonly string[];
}

/** Weights for a model, and how they were found. */
export interface PickedWeights {
  readonly tensors: ReadonlyMap<string, TensorData>;
  readonly report: InitializeReport;
}

/** Reads weights and gives them the names and shapes of the model. */
export async function pickWeights(
  weights: string | ReadonlyMap<string, TensorData>,
  options: InitializeOptions,
  known: readonly NativeTensorInfo[],
): Promise<PickedWeights> {
  if (typeof weights === 'string') {
    await using file = await openWeights(weights);
    return await pick(file.tensors, file.format, options, `'${weights}'`, known);
  }
  checkTensors(weights, 'the weights');
  const tensors = new Map<string, WeightTensor>();
  for (const [name, { shape, data }] of weights) {
    tensors.set(name, { shape, dtype: 'F32', read: () => Promise.resolve(data) });
  }
  return pick(tensors, 'tensors', options, 'the weights', known);
}

async function pick(
  tensors: ReadonlyMap<string, WeightTensor>,
  format: InitializeReport['format'],
  options: InitializeOptions,
  what: string,
  known: readonly NativeTensorInfo[],
): Promise<PickedWeights> {
  const { prefix = '', rename = (name: string) => name, strict = true, signal } = options;
  const originals = new Map<string, string>(); // by the name after prefix and rename
  const leftOut: string[] = [];
  for (const original of tensors.keys()) {
    const name = original.startsWith(prefix) ? rename(original.slice(prefix.length)) : undefined;
    if (name === undefined || originals.has(name)) leftOut.push(original);
    else originals.set(name, original);
  }
  const shapes = new Map([...originals].map(([name, of]) => [name, tensors.get(of)!.shape]));
  const { best, seen } = await matchNames(shapes, known);
  if (!best) throw nothingFits(what, [...tensors.keys()], known, seen);
  if (strict && best.mismatched.length > 0) throw otherShapes(what, best);

  const picked = new Map<string, TensorData>();
  for (const assignment of best.assignments) {
    const sources = assignment.from.map((name) => tensors.get(originals.get(name)!)!);
    picked.set(assignment.name, {
      shape: known.find(({ name }) => name === assignment.name)!.shape,
      data: await readAssignment(assignment, sources, signal),
    });
  }
  await inTurns(checkState(picked, what));
  return { tensors: picked, report: report(best, format, prefix, leftOut, originals, known) };
}

/** The values of a tensor of the model: its pieces one after another, reshaped where that is needed. */
async function readAssignment(
  { reshape }: Assignment,
  sources: readonly WeightTensor[],
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const pieces: Float32Array[] = [];
  for (const source of sources) pieces.push(await source.read(signal));
  let values = pieces[0]!;
  if (pieces.length > 1) {
    values = new Float32Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let start = 0;
    for (const piece of pieces) {
      values.set(piece, start);
      start += piece.length;
    }
  }
  return reshape ? reshape.apply(values) : values;
}

function report(
  match: Match,
  format: InitializeReport['format'],
  prefix: string,
  leftOut: readonly string[],
  originals: ReadonlyMap<string, string>,
  known: readonly NativeTensorInfo[],
): InitializeReport {
  const original = (name: string): string => originals.get(name)!;
  const shapes = new Map(known.map(({ name, shape }) => [name, shape]));
  return {
    format,
    source: match.source,
    prefix: prefix + match.prefix,
    matched: match.assignments.map(({ name }) => name),
    reshaped: match.assignments.flatMap(({ name, shape, reshape }) =>
      reshape ? [{ name, from: shape, to: shapes.get(name)!, how: reshape.how }] : [],
    ),
    missing: match.missing,
    mismatched: match.mismatched,
    unexpected: match.unexpected.map(original),
    ignored: [...match.ignored.map(original), ...leftOut],
  };
}

function nothingFits(
  what: string,
  names: readonly string[],
  known: readonly NativeTensorInfo[],
  seen: readonly string[],
): CountenanceError {
  const some = (all: readonly string[]): string =>
    all
      .slice(0, 3)
      .map((name) => name.slice(0, 100))
      .join(', ') || 'nothing';
  const looks =
    seen.length > 0
      ? `it looks like ${some(seen)}, which is another network`
      : 'give a prefix or rename them';
  return new CountenanceError(
    'ERR_SHAPE_MISMATCH',
    `Nothing of ${what} fits the model: its names start with ${some(names)}, the model's with ` +
      `${some(known.map(({ name }) => name))}; ${looks}`,
  );
}

function otherShapes(what: string, { source, mismatched }: Match): CountenanceError {
  return new CountenanceError(
    'ERR_SHAPE_MISMATCH',
    `${what} has the names of ${source}, but other shapes: ${listShapes(mismatched)}; ` +
      'without strict, these are left out',
  );
}
