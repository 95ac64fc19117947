import { createHash } from 'node:crypto';
import type { CountenanceError } from '../errors.js';
import { checkInteger } from '../check.js';
import { throwIfAborted, toCountenanceError, type ErrorCode } from '../errors.js';
import { checkDataset, countClasses, type Dataset } from './dataset.js';
import { openDataset, splitsOf } from './registry.js';
import { SizeCounter, type ImageSizes } from './sizes.js';

/** A problem with an image or a split. */
export interface DatasetProblem {
  /**
   * - `missing`: a file that the labels name, or the label of an image, does not exist
   * - `label`: a label that is not one of the classes
   * - `unreadable`: an image that cannot be decoded
   * - `format`: a line or file of labels that does not follow the format
   * - `split`: a split that cannot be opened, or that has no images
   */
  readonly kind: 'missing' | 'label' | 'unreadable' | 'format' | 'split';
  /** The split it was found in, or null if the data set has none. */
  readonly split: string | null;
  readonly code: ErrorCode;
  /** Names the file. */
  readonly message: string;
}

/** Images with the same content: equal pixels, whatever the file names. */
export interface DuplicateImages {
  readonly images: readonly {
    readonly split: string | null;
    readonly file: string;
    readonly label: string;
  }[];
  /** Whether they are in different splits: a test on training images says nothing. */
  readonly acrossSplits: boolean;
  readonly differentLabels: boolean;
}

/** One split of a data set. */
export interface SplitInfo {
  /** Null if the data set has no splits. */
  readonly name: string | null;
  readonly size: number;
  /** Images of each class, by name. */
  readonly classCounts: Readonly<Record<string, number>>;
  /** Findings from opening it, such as images left out. */
  readonly notes: readonly string[];
}

/** What {@link inspectDataset} found. */
export interface DatasetInfo {
  readonly spec: string;
  readonly classes: readonly string[];
  readonly splits: readonly SplitInfo[];
  /** Null if no image could be read. */
  readonly sizes: ImageSizes | null;
  readonly duplicates: readonly DuplicateImages[];
  readonly problems: readonly DatasetProblem[];
}

/** Options of {@link inspectDataset}. */
export interface InspectOptions {
  readonly signal?: AbortSignal | undefined;
  /** Images decoded at a time. Default 8. */
  readonly concurrency?: number;
  /** Called after each image. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

/**
 * Opens a data set (all its splits if the specification names none), decodes every image, and reports
 * counts, sizes, duplicates and all problems, which a long training run would otherwise find later.
 *
 * @throws CountenanceError ERR_DATASET_FORMAT and read errors if the set cannot be opened at all,
 *   ERR_INVALID_ARGUMENT, ERR_ABORTED
 * @example
 * const { splits, problems } = await inspectDataset('rafdb:RAF-DB');
 * splits[0].classCounts.fear; // 281
 */
export async function inspectDataset(
  spec: string,
  options: InspectOptions = {},
): Promise<DatasetInfo> {
  const { signal, onProgress } = options;
  const concurrency = checkInteger(options.concurrency ?? 8, 'concurrency', 1, 1024);
  throwIfAborted(signal, 'The inspection');
  const problems: DatasetProblem[] = [];
  const parts = await openSplits(spec, problems, signal);
  const total = parts.reduce((sum, { dataset }) => sum + dataset.size, 0);
  const inspector = new Inspector(problems);
  let done = 0;
  for (const [i, { split, dataset }] of parts.entries()) {
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < dataset.size) {
        throwIfAborted(signal, 'The inspection');
        await inspector.look(parts, i, next++, signal);
        onProgress?.({ done: ++done, total });
      }
    };
    await Promise.all(Array.from({ length: concurrency }, work));
    inspector.endSplit(split);
  }
  return {
    spec,
    classes: parts[0]!.dataset.classes,
    splits: parts.map(({ split, dataset }) => splitInfo(split, dataset)),
    sizes: inspector.sizes.result(),
    duplicates: inspector.duplicates(parts),
    problems,
  };
}

interface Part {
  readonly split: string | null;
  readonly dataset: Dataset;
}

async function openSplits(
  spec: string,
  problems: DatasetProblem[],
  signal: AbortSignal | undefined,
): Promise<Part[]> {
  const parts: Part[] = [];
  let failure: unknown;
  for (const { name: split, spec: text } of await splitsOf(spec)) {
    try {
      const onProblem = (problem: CountenanceError): void => {
        problems.push(describeProblem(problem, split));
      };
      const dataset = await openDataset(text, { signal, onProblem });
      parts.push({ split, dataset });
      checkDataset(dataset, 'evaluation');
    } catch (error) {
      throwIfAborted(signal, 'The inspection');
      const { code, message } = toCountenanceError(error);
      problems.push({ kind: 'split', split, code, message });
      failure ??= error;
    }
  }
  if (parts.length === 0) throw failure;
  return parts;
}

function splitInfo(name: string | null, dataset: Dataset): SplitInfo {
  const counts = countClasses(dataset);
  return {
    name,
    size: dataset.size,
    classCounts: Object.fromEntries(dataset.classes.map((label, i) => [label, counts[i]!])),
    notes: dataset.notes,
  };
}

function describeProblem(
  { code, message }: CountenanceError,
  split: string | null,
): DatasetProblem {
  const kinds: Partial<Record<ErrorCode, DatasetProblem['kind']>> = {
    ERR_FILE_NOT_FOUND: 'missing',
    ERR_LABEL_RANGE: 'label',
    ERR_DATASET_FORMAT: 'format',
    ERR_NPY: 'format',
  };
  return { kind: kinds[code] ?? 'unreadable', split, code, message };
}

/** An image: the index of its part, and its index in that part. */
type ImageKey = readonly [part: number, index: number];

class Inspector {
  readonly sizes = new SizeCounter();
  /** The first image with each content, and all images whose content occurs more than once. */
  private readonly first = new Map<string, ImageKey>();
  private readonly repeated = new Map<string, ImageKey[]>();
  /** Failures in the current split, with the index: images are decoded in no fixed order. */
  private failures: [index: number, error: CountenanceError][] = [];

  constructor(private readonly problems: DatasetProblem[]) {}

  async look(
    parts: readonly Part[],
    part: number,
    index: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { dataset } = parts[part]!;
    try {
      const { data, width, height } = await dataset.load(index, signal);
      this.sizes.add(width, height);
      const hash = createHash('sha256').update(`${width} ${height} `).update(data);
      this.count(hash.digest('base64'), [part, index]);
    } catch (error) {
      throwIfAborted(signal, 'The inspection');
      const prefix = `Image '${dataset.describe(index)}': `;
      this.failures.push([index, toCountenanceError(error, 'ERR_INTERNAL', prefix)]);
    }
  }

  endSplit(split: string | null): void {
    this.failures.sort(([a], [b]) => a - b);
    for (const [, error] of this.failures) this.problems.push(describeProblem(error, split));
    this.failures = [];
  }

  duplicates(parts: readonly Part[]): DuplicateImages[] {
    const order = ([a, i]: ImageKey, [b, j]: ImageKey): number => a - b || i - j;
    const groups = [...this.repeated.values()].map((keys) => keys.sort(order));
    return groups
      .sort(([a], [b]) => order(a!, b!))
      .map((keys) => {
        const images = keys.map(([part, index]) => {
          const { split, dataset } = parts[part]!;
          const label = dataset.classes[dataset.label(index)]!;
          return { split, file: dataset.describe(index), label };
        });
        return {
          images,
          acrossSplits: images.some(({ split }) => split !== images[0]!.split),
          differentLabels: images.some(({ label }) => label !== images[0]!.label),
        };
      });
  }

  private count(content: string, key: ImageKey): void {
    const first = this.first.get(content);
    if (!first) {
      this.first.set(content, key);
      return;
    }
    const keys = this.repeated.get(content);
    if (keys) keys.push(key);
    else this.repeated.set(content, [first, key]);
  }
}
