import { checkBoolean, checkChoice, checkInteger } from '../check.js';
import { throwIfAborted } from '../errors.js';
import { checkDataset, type Dataset } from '../data/dataset.js';
import { DataLoader } from '../data/loader.js';
import { openDataset } from '../data/registry.js';
import { shareClasses, type ClassMapping } from '../data/shared-classes.js';
import { ConfusionMatrix, type Metrics } from '../metrics.js';
import type { Model } from './model.js';
import { forwardImages } from './forward.js';

/** Which classes an evaluation chooses among. */
export const evaluatedClasses = ['shared', 'all'] as const;

/** Options of {@link evaluate}. */
export interface EvaluateOptions {
  /** Images per forward pass. Default 64. */
  readonly batchSize?: number;
  /** Memory for decoded images, kept for a second pass over the same loader. Default 0: none. */
  readonly cacheBytes?: number;
  /**
   * What the model may answer if its classes differ from the data set's: one of the shared classes
   * (`shared`, the default), or any of its classes (`all`).
   */
  readonly among?: (typeof evaluatedClasses)[number];
  /** Test-time flip: average the logits of each image and its mirror image. Default false. */
  readonly flip?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

/** The result of {@link evaluate}. */
export interface Evaluation extends Metrics {
  /** How the classes were matched, if those of the data set have other names than the model's. */
  readonly mapping?: ClassMapping;
}

/**
 * Classifies every image of a data set and compares the results with the labels. The classes of the data set
 * are matched to the model's by name (`happy` is `happiness`); images of classes that the model does not
 * know are left out and listed in `mapping`.
 *
 * @param dataset a data set, or its specification such as `folder:faces#test`
 * @returns accuracy, mean class accuracy, macro F1, kappa, figures per class and the confusion matrix
 * @throws CountenanceError ERR_DATASET_EMPTY, ERR_DATASET_FORMAT where fewer than two classes are
 *   shared, ERR_INVALID_ARGUMENT, ERR_ABORTED, ERR_CLOSED, and decoding errors that name the file
 * @example
 * const { accuracy, confusion } = await evaluate(model, 'folder:faces#test');
 * const { mapping } = await evaluate(rafdbModel, 'affectnet8:AffectNet#valid');
 * mapping.onlyInData; // { contempt: 499 }
 */
export async function evaluate(
  model: Model,
  dataset: Dataset | string,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const { signal, flip = false } = options;
  throwIfAborted(signal, 'The evaluation');
  checkBoolean(flip, 'flip');
  const among = checkChoice(options.among ?? 'shared', 'among', evaluatedClasses);
  const opened = typeof dataset === 'string' ? await openDataset(dataset, { signal }) : dataset;
  const { classes, inputSize } = model.config;
  const { dataset: matched, mapping } = shareClasses(opened, classes);
  const loader = new DataLoader(matched, {
    batchSize: checkInteger(options.batchSize ?? 64, 'batchSize', 1, 4096),
    inputSize,
    cacheBytes: options.cacheBytes ?? 0,
  });
  const left = among === 'shared' ? (mapping?.onlyInModel ?? []) : [];
  const chosen = classes.filter((name) => !left.includes(name));
  const metrics = await evaluateLoader(model, loader, { ...options, chosen });
  return mapping ? { ...metrics, mapping } : metrics;
}

/**
 * {@link evaluate} on a loader of the model's classes, whose cache may already be warm.
 *
 * @param options.chosen the classes that the model may answer; default all of its own
 */
export async function evaluateLoader(
  model: Model,
  loader: DataLoader,
  options: Pick<EvaluateOptions, 'signal' | 'onProgress' | 'flip'> & {
    readonly chosen?: readonly string[];
  } = {},
): Promise<Metrics> {
  checkDataset(loader.dataset, 'evaluation');
  const { classes, inputSize: side } = model.config;
  const imageBytes = side * side * 3;
  const { chosen = classes, signal, flip = false } = options;
  const columns = chosen.map((name) => classes.indexOf(name));
  const confusion = new ConfusionMatrix(chosen);
  for await (const { images, indices, position } of loader.epoch(0, { signal })) {
    const inputs = Array.from(indices, (_, i) => {
      const data = images.subarray(i * imageBytes, (i + 1) * imageBytes);
      return { data, width: side, height: side };
    });
    const { logits } = await forwardImages(model, inputs, flip);
    // Of soft targets the most probable class, also where training draws one anew every epoch.
    indices.forEach((index, i) => {
      const label = columns.indexOf(loader.dataset.label(index));
      const row = logits.data.subarray(i * classes.length, (i + 1) * classes.length);
      confusion.add(label, indexOfLargest(row, columns));
    });
    throwIfAborted(signal, 'The evaluation');
    options.onProgress?.({ done: position + indices.length, total: loader.dataset.size });
  }
  return confusion.metrics();
}

/** Which of the columns holds the largest value; the first of equals. */
function indexOfLargest(values: Float32Array, columns: readonly number[]): number {
  let best = 0;
  for (let i = 1; i < columns.length; i++) {
    if (values[columns[i]!]! > values[columns[best]!]!) best = i;
  }
  return best;
}
