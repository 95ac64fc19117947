import { checkInteger, throwIfAborted } from '../errors.js';
import { checkDataset, type Dataset } from '../data/dataset.js';
import { DataLoader } from '../data/loader.js';
import { openDataset } from '../data/registry.js';
import { alignClasses } from '../data/subset.js';
import { ConfusionMatrix, type Metrics } from '../metrics.js';
import type { Model } from '../model.js';
import { resizeImage } from './resize.js';

/** Options of {@link evaluate}. */
export interface EvaluateOptions {
  /** Images of a forward pass. Default 64. */
  readonly batchSize?: number;
  /** Memory for decoded images, kept for a second pass over the same loader. Default 0: none. */
  readonly cacheBytes?: number;
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

/**
 * Classifies every image of a data set and compares with its labels. The data set's classes are matched
 * to the model's by name (`happy` is `happiness`).
 *
 * @param dataset a data set, or its specification such as `folder:faces#test`
 * @returns accuracy, mean class accuracy, macro F1, figures a class and the confusion matrix
 * @throws CountenanceError ERR_DATASET_EMPTY, ERR_DATASET_FORMAT, ERR_ABORTED, ERR_CLOSED, and what
 *   decoding an image throws, naming its file
 * @example
 * const { accuracy, confusion } = await evaluate(model, 'folder:faces#test');
 */
export async function evaluate(
  model: Model,
  dataset: Dataset | string,
  options: EvaluateOptions = {},
): Promise<Metrics> {
  const { signal } = options;
  throwIfAborted(signal, 'The evaluation');
  const opened = typeof dataset === 'string' ? await openDataset(dataset, { signal }) : dataset;
  const loader = new DataLoader(alignClasses(opened, model.config.classes), {
    batchSize: checkInteger(options.batchSize ?? 64, 'batchSize', 1, 4096),
    inputSize: model.config.inputSize,
    resize: resizeImage,
    cacheBytes: options.cacheBytes ?? 0,
  });
  return evaluateLoader(model, loader, options);
}

/** {@link evaluate} on a loader of the model's classes, whose cache may already be warm. */
export async function evaluateLoader(
  model: Model,
  loader: DataLoader,
  options: Pick<EvaluateOptions, 'signal' | 'onProgress'> = {},
): Promise<Metrics> {
  checkDataset(loader.dataset, 'evaluation');
  const { classes } = model.config;
  const confusion = new ConfusionMatrix(classes);
  for await (const { images, indices, position } of loader.epoch(0, { signal: options.signal })) {
    const { logits } = await model.forward({ images });
    // Of soft targets the most probable class, also where training draws one anew every epoch.
    indices.forEach((index, i) =>
      confusion.add(loader.dataset.label(index), indexOfLargest(logits.data, i, classes.length)),
    );
    throwIfAborted(options.signal, 'The evaluation');
    options.onProgress?.({ done: position + indices.length, total: loader.dataset.size });
  }
  return confusion.metrics();
}

/** Index of the largest value of row `row`; the first of equals. */
export function indexOfLargest(values: Float32Array, row: number, width: number): number {
  let best = 0;
  for (let i = 1; i < width; i++) {
    if (values[row * width + i]! > values[row * width + best]!) best = i;
  }
  return best;
}
