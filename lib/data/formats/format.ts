import { readdir } from 'node:fs/promises';
import { CountenanceError, readError } from '../../errors.js';
import type { Dataset } from '../dataset.js';
import { badSpec, type DataSpec } from '../spec.js';
import { droppingOf } from './droppings.js';

/** Options for opening a data set, besides its specification. */
export interface OpenOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with each problem of a single image (a missing file, a label out of range); the image is then
   * left out. Without it, the first such problem is thrown.
   */
  readonly onProblem?: ((problem: CountenanceError) => void) | undefined;
}

/** A data set format; once added to the list in registry.ts it is known everywhere. */
export interface DataFormat {
  /** The word before the colon of a specification. */
  readonly name: string;
  /** One line for the help text. */
  readonly summary: string;
  readonly example: string;
  /** Names of the `option=value` pairs it understands. */
  readonly options: readonly string[];
  /** The splits to open if a specification names none; empty if the data set is then opened whole. */
  splits(spec: DataSpec): readonly string[] | Promise<readonly string[]>;
  open(spec: DataSpec, options: OpenOptions): Promise<Dataset>;
}

const splitAliases: ReadonlyMap<string, string> = new Map([
  ['training', 'train'],
  ['val', 'valid'],
  ['validation', 'valid'],
  ['testing', 'test'],
]);

/** `val` and `validation` are `valid`, and so on. */
export function canonicalSplit(split: string): string {
  const lower = split.toLowerCase();
  return splitAliases.get(lower) ?? lower;
}

/**
 * The split of a format that has a fixed list of them.
 *
 * @throws CountenanceError ERR_DATASET_FORMAT that lists them
 */
export function requireSplit<T extends string>(spec: DataSpec, splits: readonly T[]): T {
  const offer = splits.map((split) => `${spec.format}:${spec.path}#${split}`).join(', ');
  if (spec.split === undefined) throw badSpec(spec.text, `choose a split: ${offer}`);
  const wanted = canonicalSplit(spec.split);
  const found = splits.find((split) => split === wanted);
  if (found === undefined) throw badSpec(spec.text, `no split '${spec.split}'; choose ${offer}`);
  return found;
}

/** One part of a cross-validation by subject: `fold3-test` is index 2. */
export interface Fold {
  readonly index: number;
  readonly isTest: boolean;
}

/**
 * The fold that a specification names, of `count` of them; none if it names no split.
 *
 * @throws CountenanceError ERR_DATASET_FORMAT that says which splits there are
 */
export function foldOf({ split, text }: DataSpec, count: number): Fold | undefined {
  if (split === undefined) return undefined;
  const [, number, part] = /^fold([1-9]\d?)-(train|test)$/.exec(split.toLowerCase()) ?? [];
  if (number === undefined || Number(number) > count) {
    const choice = `choose fold1-train, fold1-test, ... fold${count}-test, or none`;
    throw badSpec(text, `no split '${split}'; ${choice}`);
  }
  return { index: Number(number) - 1, isTest: part === 'test' };
}

/** Longest reason in a message: it may quote a line of a file. */
const reasonLimit = 300;

/** An ERR_DATASET_FORMAT that names a file. */
export function badFile(file: string, reason: string): CountenanceError {
  const short = reason.length > reasonLimit ? `${reason.slice(0, reasonLimit)}...` : reason;
  return new CountenanceError('ERR_DATASET_FORMAT', `'${file}': ${short}`);
}

/** Throws the problem of an image, or passes it to `onProblem`; the caller then skips the image. */
export function rejectImage({ onProblem }: OpenOptions, problem: CountenanceError): void {
  if (!onProblem) throw problem;
  onProblem(problem);
}

/** The names in a directory, in no particular order, without what systems and browsers leave there. */
export async function namesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).filter((name) => droppingOf(name) === undefined);
  } catch (error) {
    throw readError('Data set directory', path, error);
  }
}

/** File extensions that count as images when a folder is listed. */
const imageExtensions = /\.(jpe?g|jpe|jfif|png|webp|gif|tiff?|avif)$/i;

/** True for names that look like images and are not hidden. */
export function isImageName(name: string): boolean {
  return !name.startsWith('.') && imageExtensions.test(name);
}
