import { CountenanceError } from '../errors.js';
import { canonicalClass } from './classes.js';
import { findNeutral, type Dataset, type TargetKind } from './dataset.js';
import { relabel } from './subset.js';

/**
 * Concatenates data sets. Classes are matched by name (`happy` is `happiness`): the result has every class
 * of any of them, under the name in the first data set that has it.
 *
 * @throws CountenanceError ERR_DATASET_EMPTY for an empty list, ERR_DATASET_FORMAT if `distribution` and
 *   `drawn` targets are mixed
 * @example
 * const mixed = mixDatasets([await openDataset('rafdb:A#train'), await openDataset('folder:B')]);
 */
export function mixDatasets(datasets: readonly Dataset[]): Dataset {
  const [first] = datasets;
  if (!first) throw new CountenanceError('ERR_DATASET_EMPTY', 'No data sets were given to mix');
  if (datasets.length === 1) return first;
  const name = datasets.map((dataset) => dataset.name).join(' + ');
  const classes = new Map<string, string>();
  for (const dataset of datasets) {
    for (const label of dataset.classes) {
      const canonical = canonicalClass(label);
      if (!classes.has(canonical)) classes.set(canonical, label);
    }
  }
  const names = [...classes.values()];
  const order = [...classes.keys()];
  const parts = datasets.map((dataset) =>
    relabel(
      dataset,
      names,
      dataset.classes.map((label) => order.indexOf(canonicalClass(label))),
    ),
  );
  const ends: number[] = [];
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + part.size);
  const size = ends.at(-1)!;
  const find = (index: number): readonly [Dataset, number] => {
    const at = ends.findIndex((end) => index < end);
    return [parts[at]!, index - (at === 0 ? 0 : ends[at - 1]!)];
  };
  const targetKind = commonKind(parts, name);
  return {
    name,
    classes: names,
    neutral: parts.find(({ neutral }) => neutral !== null)?.neutral ?? findNeutral(names),
    size,
    targetKind,
    notes: datasets.flatMap((dataset) => dataset.notes.map((note) => `${dataset.name}: ${note}`)),
    label: (index) => {
      const [part, inner] = find(index);
      return part.label(inner);
    },
    target: (index) => {
      if (targetKind === 'label') return undefined;
      const [part, inner] = find(index);
      return part.target(inner) ?? oneHot(part.label(inner), names.length);
    },
    load: (index, signal) => {
      const [part, inner] = find(index);
      return part.load(inner, signal);
    },
    describe: (index) => {
      const [part, inner] = find(index);
      return part.describe(inner);
    },
  };
}

/** Labels combine with either kind of soft target, as one-hot targets. */
function commonKind(parts: readonly Dataset[], name: string): TargetKind {
  const kinds = new Set(parts.map(({ targetKind }) => targetKind));
  kinds.delete('label');
  if (kinds.size > 1) {
    throw new CountenanceError(
      'ERR_DATASET_FORMAT',
      `Data sets '${name}' cannot be mixed: some train on distributions, some on labels drawn from ` +
        'them; open them in the same mode',
    );
  }
  const [kind = 'label'] = kinds;
  return kind;
}

function oneHot(label: number, classes: number): Float32Array {
  const target = new Float32Array(classes);
  target[label] = 1;
  return target;
}
