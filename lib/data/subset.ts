import { checkInteger, invalidArgument } from '../check.js';
import { CountenanceError } from '../errors.js';
import { matchClasses } from './classes.js';
import { checkDataset, findNeutral, type Dataset } from './dataset.js';
import { permutation } from './permutation.js';
import { randomDomain } from '../philox.js';
import { nextTurn } from '../turns.js';

/** The images of a data set at `indices`, in that order, with the same classes. */
export function subset(dataset: Dataset, indices: ArrayLike<number>, name = dataset.name): Dataset {
  const at = (index: number): number => {
    const inner = indices[index];
    if (inner === undefined) {
      throw invalidArgument(`an image index from 0 to ${indices.length - 1}`, 'index', index);
    }
    return inner;
  };
  return {
    name,
    classes: dataset.classes,
    neutral: dataset.neutral,
    size: indices.length,
    targetKind: dataset.targetKind,
    notes: dataset.notes,
    label: (index) => dataset.label(at(index)),
    target: (index) => dataset.target(at(index)),
    load: (index, signal) => dataset.load(at(index), signal),
    describe: (index) => dataset.describe(at(index)),
  };
}

/**
 * Only the images of some classes, relabelled in the order of `classes`. Soft targets lose the other
 * classes and are rescaled to sum 1; an image whose label is not selected is left out.
 *
 * @throws CountenanceError ERR_INVALID_ARGUMENT naming classes the data set does not have
 * @example
 * const pair = selectClasses(dataset, ['happiness', 'neutral']);
 */
export function selectClasses(dataset: Dataset, names: readonly string[]): Dataset {
  const composed = dataset.classes.map((name) => name.normalize('NFC'));
  const classes = names.map(
    (name) => dataset.classes[composed.indexOf(name.normalize('NFC'))] ?? name,
  );
  const missing = classes.filter((name) => !dataset.classes.includes(name));
  if (missing.length > 0 || new Set(classes).size !== classes.length || classes.length === 0) {
    const known = `distinct classes of '${dataset.name}' (${dataset.classes.join(', ')})`;
    throw invalidArgument(known, 'classes', classes.join(', '));
  }
  return relabel(
    dataset,
    classes,
    dataset.classes.map((name) => classes.indexOf(name)),
  );
}

/**
 * A data set with its labels in the order of a model's classes. Names match exactly or by common spellings
 * (`happy` is `happiness`). A class that only the model has gets no images; a class that only the data set
 * has is an error if it has images.
 *
 * @throws CountenanceError ERR_DATASET_FORMAT naming the classes the model lacks
 */
export function alignClasses(dataset: Dataset, classes: readonly string[]): Dataset {
  const same = dataset.classes.length === classes.length;
  if (same && classes.every((name, i) => name === dataset.classes[i])) return dataset;
  const to = matchClasses(dataset.classes, classes);
  const unknown = new Set<string>();
  for (let i = 0; i < dataset.size; i++) {
    const label = dataset.label(i);
    if (to[label]! < 0) unknown.add(dataset.classes[label]!);
  }
  if (unknown.size > 0) {
    throw new CountenanceError(
      'ERR_DATASET_FORMAT',
      `Data set '${dataset.name}' has images of ${[...unknown].join(', ')}, which the model does ` +
        `not know; its classes are ${classes.join(', ')}`,
    );
  }
  return relabel(dataset, classes, to);
}

/** `to[old label]` is the new label, or -1 for images to leave out. */
export function relabel(
  dataset: Dataset,
  classes: readonly string[],
  to: readonly number[],
): Dataset {
  const kept: number[] = [];
  for (let i = 0; i < dataset.size; i++) if (to[dataset.label(i)]! >= 0) kept.push(i);
  const inner = subset(dataset, kept);
  const target = (index: number): Float32Array | undefined => {
    const old = inner.target(index);
    if (!old) return undefined;
    const row = new Float32Array(classes.length);
    let sum = 0;
    for (const [label, probability] of old.entries()) {
      if (to[label]! < 0) continue;
      row[to[label]!]! += probability;
      sum += probability;
    }
    return row.map((probability) => probability / sum);
  };
  const neutral = dataset.neutral === null ? -1 : to[dataset.classes.indexOf(dataset.neutral)]!;
  return {
    ...inner,
    classes,
    neutral: neutral >= 0 ? classes[neutral]! : findNeutral(classes),
    label: (index) => to[inner.label(index)]!,
    target,
  };
}

/**
 * Splits off a validation set with the same share of every class (each side gets at least one image of
 * every class that has two). Equal seeds give equal splits.
 *
 * @param fraction share of the images to split off, between 0 and 1
 * @returns the two parts; their images keep the order of the data set
 */
export async function stratifiedSplit(
  dataset: Dataset,
  fraction: number,
  seed: number,
): Promise<{ train: Dataset; validation: Dataset }> {
  if (!(fraction > 0 && fraction < 1)) {
    throw invalidArgument('a fraction between 0 and 1', 'the validation split', fraction);
  }
  checkDataset(dataset, 'evaluation');
  const order = await permutation(dataset.size, seed, randomDomain.split, 0);
  const byClass: number[][] = dataset.classes.map(() => []);
  for (const index of order) byClass[dataset.label(index)]!.push(index);
  const isValidation = new Uint8Array(dataset.size);
  for (const members of byClass) {
    const wanted = Math.round(members.length * fraction);
    const count = members.length < 2 ? 0 : Math.min(Math.max(wanted, 1), members.length - 1);
    for (const index of members.slice(0, count)) isValidation[index] = 1;
  }
  const train: number[] = [];
  const validation: number[] = [];
  isValidation.forEach((flag, index) => (flag === 1 ? validation : train).push(index));
  return {
    train: subset(dataset, train, `${dataset.name} (training part)`),
    validation: subset(dataset, validation, `${dataset.name} (validation part)`),
  };
}

/** At most `count` images, chosen at random by `seed` but kept in order. */
export async function limitDataset(dataset: Dataset, count: number, seed = 0): Promise<Dataset> {
  checkInteger(count, 'the limit of images', 1);
  if (count >= dataset.size) return dataset;
  const order = await permutation(dataset.size, seed, randomDomain.split, 1);
  return subset(dataset, order.slice(0, count).sort());
}

/** An image that could not be decoded. */
export interface BrokenImage {
  readonly file: string;
  readonly error: CountenanceError;
}

/**
 * Decodes every image once and leaves out those that cannot be decoded. Without this, the first broken
 * image ends training with an error that names it.
 */
export async function withoutBrokenImages(
  dataset: Dataset,
  options: { signal?: AbortSignal; concurrency?: number } = {},
): Promise<{ dataset: Dataset; broken: BrokenImage[] }> {
  const failures = new Map<number, CountenanceError>();
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < dataset.size) {
      const index = next++;
      try {
        await dataset.load(index, options.signal);
      } catch (error) {
        const broken = error instanceof CountenanceError && error.code !== 'ERR_ABORTED';
        if (!broken) throw error;
        failures.set(index, error);
      }
      if (index % 256 === 0) await nextTurn();
    }
  };
  await Promise.all(Array.from({ length: options.concurrency ?? 8 }, work));
  const good: number[] = [];
  const broken: BrokenImage[] = [];
  for (let i = 0; i < dataset.size; i++) {
    const error = failures.get(i);
    if (error) broken.push({ file: dataset.describe(i), error });
    else good.push(i);
  }
  return { dataset: broken.length === 0 ? dataset : subset(dataset, good), broken };
}
