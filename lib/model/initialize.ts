import type { NativeTensorInfo } from '../native.js';
import { inTurns } from '../turns.js';
import type { TensorData } from '../types.js';
import {
  matchNames,
  type Assignment,
  type FoundNames,
  type Match,
  type OtherCopy,
  type ShapeMismatch,
} from '../weights/names/match.js';
import { isOptimizerState } from '../weights/names/optimizer-state.js';
import { openWeights } from '../weights/open.js';
import { unsafePickle } from '../weights/pytorch/unsafe.js';
import type {
  PythonObject,
  WeightsFile,
  WeightsFormat,
  WeightTensor,
} from '../weights/weights-file.js';
import { incomplete, nothingFits, onlyOptimizer, otherShapes } from './initialize-errors.js';
import { checkState, checkTensors } from './state.js';

/** Options of {@link Model.initialize}. */
export interface InitializeOptions {
  /** Takes only names that start with this, and takes it off. Default: found from the names. */
  readonly prefix?: string;
  /** Gives each name (without the prefix) another one before it is looked at; undefined leaves it out. */
  readonly rename?: (name: string) => string | undefined;
  /**
   * False takes what fits instead of refusing weights that lack a part of the encoder or have another shape;
   * all others keep their values. Default true.
   */
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
  /** The file that was read: in a directory, the one that was found. Not for a Map. */
  readonly file?: string;
  /** Other weights files in the directory, which were not read. */
  readonly beside: readonly string[];
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
  /** Other sets of tensors that fit as well, such as a moving average: `prefix` takes one of them. */
  readonly others: readonly OtherCopy[];
  /** Python objects of a PyTorch file that were left alone, because only code could rebuild them. */
  readonly notRebuilt: readonly PythonObject[];
  /** Tensors that an index of shards names, and no shard has. */
  readonly absent: readonly string[];
}

/** Weights for a model, and how they were found. */
export interface PickedWeights {
  readonly tensors: ReadonlyMap<string, TensorData>;
  readonly report: InitializeReport;
}

/** What the weights are for. */
export interface TargetModel {
  readonly tensors: readonly NativeTensorInfo[];
  /** What the names of the encoder's head start with, if it has one: `fc.`. */
  readonly head: string | null;
}

/** Weights of a file, or given as a Map. */
type Source = Pick<WeightsFile, 'tensors' | 'beside' | 'notRebuilt' | 'absent'> & {
  readonly path?: string;
  readonly format: InitializeReport['format'];
};

/** What the names of the encoder's tensors start with. */
const encoder = 'encoder.';

/** Reads weights and gives them the names and shapes of the model. */
export async function pickWeights(
  weights: string | ReadonlyMap<string, TensorData>,
  options: InitializeOptions,
  model: TargetModel,
): Promise<PickedWeights> {
  if (typeof weights === 'string') {
    await using file = await openWeights(weights);
    return await pick(file, options, `'${file.path}'`, model);
  }
  checkTensors(weights, 'the weights');
  const tensors = new Map<string, WeightTensor>();
  for (const [name, { shape, data }] of weights) {
    tensors.set(name, { shape, dtype: 'F32', read: () => Promise.resolve(data) });
  }
  const source = { format: 'tensors', tensors, beside: [], notRebuilt: [], absent: [] } as const;
  return pick(source, options, 'the weights', model);
}

async function pick(
  source: Source,
  options: InitializeOptions,
  what: string,
  model: TargetModel,
): Promise<PickedWeights> {
  const { strict = true, signal } = options;
  const { tensors } = source;
  const { tensors: known } = model;
  const { originals, leftOut } = giveNames(tensors.keys(), options);
  const shapes = new Map([...originals].map(([name, of]) => [name, tensors.get(of)!.shape]));
  const found = await matchNames(shapes, known, options.prefix !== undefined);
  const { best } = found;
  if (!best) throw whyNothingFits(source, what, model, found);
  if (strict) checkWhole(source, best, options, originals, what, model);

  const picked = new Map<string, TensorData>();
  for (const assignment of best.assignments) {
    const sources = assignment.from.map((name) => tensors.get(originals.get(name)!)!);
    picked.set(assignment.name, {
      shape: known.find(({ name }) => name === assignment.name)!.shape,
      data: await readAssignment(assignment, sources, signal),
    });
  }
  await inTurns(checkState(picked, what));
  return {
    tensors: picked,
    report: report(source, best, found, options, leftOut, originals, known),
  };
}

/** The names in the file by their names without the prefix and after `rename`; and those left out. */
function giveNames(
  names: Iterable<string>,
  options: InitializeOptions,
): { readonly originals: ReadonlyMap<string, string>; readonly leftOut: readonly string[] } {
  const originals = new Map<string, string>();
  const leftOut: string[] = [];
  for (const original of names) {
    const name = isOptimizerState(original) ? undefined : newName(original, options);
    if (name === undefined || originals.has(name)) leftOut.push(original);
    else originals.set(name, original);
  }
  return { originals, leftOut };
}

function newName(original: string, { prefix = '', rename }: InitializeOptions): string | undefined {
  if (!original.startsWith(prefix)) return undefined;
  const name = original.slice(prefix.length);
  return rename ? rename(name) : name;
}

function whyNothingFits(
  { path, tensors, notRebuilt }: Source,
  what: string,
  { tensors: known }: TargetModel,
  { seen }: FoundNames,
): Error {
  const object = notRebuilt.find((each) => each.tensors.length > 0);
  if (path !== undefined && object) return unsafePickle(path, object.type, object.tensors[0]);
  const names = [...tensors.keys()];
  const isState = names.length > 0 && names.every(isOptimizerState);
  return isState ? onlyOptimizer(what, names) : nothingFits(what, names, known, seen);
}

/** Checks that everything of the encoder is there, except for its head, which other networks lack. */
function checkWhole(
  { path, notRebuilt, absent }: Source,
  best: Match,
  options: InitializeOptions,
  originals: ReadonlyMap<string, string>,
  what: string,
  { tensors: known, head }: TargetModel,
): void {
  if (best.mismatched.length > 0) throw otherShapes(what, best);
  const missing = new Set(best.missing);
  for (const { type, tensors } of notRebuilt) {
    const wanted = tensors.find((tensor) => {
      const name = newName(tensor, options);
      return name !== undefined && missing.has(best.nameOf(name) ?? '');
    });
    if (path !== undefined && wanted !== undefined) throw unsafePickle(path, type, wanted);
  }
  const needed = known
    .map(({ name }) => name)
    .filter((name) => name.startsWith(encoder) && !(head && name.startsWith(encoder + head)));
  const lacking = needed.filter((name) => missing.has(name));
  if (lacking.length === 0) return;
  const odd = best.unexpected.map((name) => originals.get(name)!);
  throw incomplete(what, lacking, needed.length, odd, whereTheRestIs(absent, notRebuilt));
}

/** Where tensors are that cannot be read. */
function whereTheRestIs(
  absent: readonly string[],
  notRebuilt: readonly PythonObject[],
): string | undefined {
  if (absent.length > 0) return 'the index names tensors that no shard has';
  const object = notRebuilt.find(({ tensors }) => tensors.length > 0);
  return object && `tensors are inside ${object.type}, which is not run`;
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
  { path, beside, format, notRebuilt, absent }: Source,
  match: Match,
  { others }: FoundNames,
  { prefix = '' }: InitializeOptions,
  leftOut: readonly string[],
  originals: ReadonlyMap<string, string>,
  known: readonly NativeTensorInfo[],
): InitializeReport {
  const original = (name: string): string => originals.get(name)!;
  const shapes = new Map(known.map(({ name, shape }) => [name, shape]));
  return {
    ...(path !== undefined && { file: path }),
    beside,
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
    others: others.map((copy) => ({ ...copy, prefix: prefix + copy.prefix })),
    notRebuilt,
    absent,
  };
}
