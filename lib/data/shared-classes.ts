import { CountenanceError } from '../errors.js';
import { matchClasses } from './classes.js';
import { countClasses, type Dataset } from './dataset.js';
import { relabel } from './subset.js';

/** How the classes of a data set map to those of a model, by name. */
export interface ClassMapping {
  /** Classes that both have, under the data set's and the model's name. */
  readonly shared: readonly { readonly data: string; readonly model: string }[];
  /** Number of images left out, by name of each class that only the data set has. */
  readonly onlyInData: Readonly<Record<string, number>>;
  /** Classes that only the model has. */
  readonly onlyInModel: readonly string[];
}

/**
 * The images of a data set whose classes a model knows, relabelled with the model's classes, and the
 * mapping of the classes: null if both have the same ones.
 *
 * @param classes the model's
 * @throws CountenanceError ERR_DATASET_FORMAT if fewer than two classes are shared
 */
export function shareClasses(
  dataset: Dataset,
  classes: readonly string[],
): { readonly dataset: Dataset; readonly mapping: ClassMapping | null } {
  const to = matchClasses(dataset.classes, classes);
  const counts = countClasses(dataset);
  const shared = dataset.classes.flatMap((data, i) =>
    to[i]! >= 0 ? [{ data, model: classes[to[i]!]! }] : [],
  );
  const onlyInModel = classes.filter((name) => !shared.some(({ model }) => model === name));
  if (classes.length - onlyInModel.length < 2) {
    throw new CountenanceError(
      'ERR_DATASET_FORMAT',
      `Data set '${dataset.name}' has classes ${dataset.classes.join(', ')}, of which the model ` +
        `knows fewer than two; its classes are ${classes.join(', ')}`,
    );
  }
  const onlyInData = Object.fromEntries(
    dataset.classes.flatMap((name, i) => (to[i]! < 0 ? [[name, counts[i]!]] : [])),
  );
  const same =
    onlyInModel.length === 0 &&
    Object.keys(onlyInData).length === 0 &&
    shared.every(({ data, model }) => data === model);
  return {
    dataset: relabel(dataset, classes, to),
    mapping: same ? null : { shared, onlyInData, onlyInModel },
  };
}

/** The mapping as lines of text. */
export function describeMapping({ shared, onlyInData, onlyInModel }: ClassMapping): string[] {
  const names = shared.map(({ data, model }) => (data === model ? data : `${data} is ${model}`));
  const lines = [`${shared.length} classes shared with the model: ${names.join(', ')}`];
  const left = Object.entries(onlyInData).map(([name, count]) => `${name} (${count} images)`);
  if (left.length > 0) lines.push(`left out, not known to the model: ${left.join(', ')}`);
  if (onlyInModel.length > 0)
    lines.push(`classes of the model not in the data set: ${onlyInModel.join(', ')}`);
  return lines;
}
