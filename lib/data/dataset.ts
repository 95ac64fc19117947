import { isIndex } from '../check.js';
import { CountenanceError } from '../errors.js';
import { kindOf } from '../files.js';
import { decodeImage } from '../images/decode.js';
import type { RawImage } from '../types.js';

/**
 * What training uses as the target of an image:
 * - `label`: its class
 * - `distribution`: the probabilities of {@link Dataset.target}
 * - `drawn`: one class drawn from those probabilities, a new one every epoch
 */
export type TargetKind = 'label' | 'distribution' | 'drawn';

/** A set of labelled images. Opening one reads labels and names, never pixels. */
export interface Dataset {
  /** Its name in messages, such as `ferplus:data#train`. */
  readonly name: string;
  /** Class names; labels index them. */
  readonly classes: readonly string[];
  /** The class without expression, or null if there is none. */
  readonly neutral: string | null;
  /** Number of images. */
  readonly size: number;
  readonly targetKind: TargetKind;
  /** Findings from opening it, for the log: images dropped, sources. */
  readonly notes: readonly string[];
  /** Class of image `index` (0..size-1); for soft targets the most probable one. */
  label(index: number): number;
  /** Probabilities of image `index`, one per class, or undefined if `targetKind` is `label`. */
  target(index: number): Float32Array | undefined;
  /** Decodes image `index` to RGB. */
  load(index: number, signal?: AbortSignal): Promise<RawImage>;
  /** The file of image `index`, or another name for messages. */
  describe(index: number): string;
}

/** Number of images of each class, in the order of `dataset.classes`. */
export function countClasses(dataset: Dataset): number[] {
  const counts = new Array<number>(dataset.classes.length).fill(0);
  for (let i = 0; i < dataset.size; i++) counts[dataset.label(i)]! += 1;
  return counts;
}

/** One line for the log: `ferplus:data#valid: 3191 images (neutral 1330, ...)`. */
export function summariseDataset(dataset: Dataset): string {
  const counts = countClasses(dataset);
  const perClass = dataset.classes.map((name, i) => `${name} ${counts[i]}`).join(', ');
  return `${dataset.name}: ${dataset.size} images (${perClass})`;
}

/**
 * Rejects an empty data set; for training also one with a class that has no images.
 *
 * @throws CountenanceError ERR_DATASET_EMPTY, ERR_DATASET_CLASS_EMPTY naming the classes
 */
export function checkDataset(dataset: Dataset, purpose: 'training' | 'evaluation'): void {
  if (dataset.size === 0) {
    const why = dataset.notes.length > 0 ? ` (${dataset.notes.join('; ')})` : '';
    throw new CountenanceError(
      'ERR_DATASET_EMPTY',
      `Data set '${dataset.name}' contains no images${why}`,
    );
  }
  if (purpose === 'evaluation') return;
  const counts = countClasses(dataset);
  const empty = dataset.classes.filter((_, i) => counts[i] === 0);
  if (empty.length > 0) {
    throw new CountenanceError(
      'ERR_DATASET_CLASS_EMPTY',
      `Data set '${dataset.name}' contains no images of ${empty.join(', ')}; ` +
        'choose the classes to train on or add images',
    );
  }
}

/** The class named neutral (in upper or lower case), or null. */
export function findNeutral(classes: readonly string[]): string | null {
  return classes.find((name) => name.toLowerCase() === 'neutral') ?? null;
}

/** Fields of {@link fileDataset}; the arrays have one element per image. */
export interface FileDatasetFields {
  readonly name: string;
  readonly classes: readonly string[];
  readonly files: readonly string[];
  readonly labels: ArrayLike<number>;
  /** Soft targets, `files.length` rows of one probability per class. */
  readonly targets?: Float32Array | undefined;
  readonly targetKind?: TargetKind;
  readonly neutral?: string | null;
  readonly notes?: readonly string[];
}

/** A data set of image files. */
export function fileDataset(fields: FileDatasetFields): Dataset {
  const { name, classes, files, labels, targets, targetKind = 'label', notes = [] } = fields;
  const width = classes.length;
  for (let i = 0; i < files.length; i++) checkLabel(labels[i]!, classes, files[i]!);
  return {
    name,
    classes,
    neutral: fields.neutral === undefined ? findNeutral(classes) : fields.neutral,
    size: files.length,
    targetKind,
    notes,
    label: (index) => labels[index]!,
    target: (index) => targets?.subarray(index * width, (index + 1) * width),
    load: (index, signal) => loadFile(files[index]!, signal),
    describe: (index) => files[index]!,
  };
}

/**
 * Decodes a file. A list of files and the disk may write an accent in different ways (macOS decomposes it): where
 * there is no such file, the other one is tried.
 */
async function loadFile(file: string, signal: AbortSignal | undefined): Promise<RawImage> {
  try {
    return await decodeImage(file, { signal });
  } catch (error) {
    const isMissing = error instanceof CountenanceError && error.code === 'ERR_FILE_NOT_FOUND';
    const other = [file.normalize('NFC'), file.normalize('NFD')].find((name) => name !== file);
    if (!isMissing || other === undefined || (await kindOf(other)) !== 'file') throw error;
    return decodeImage(other, { signal });
  }
}

/**
 * @throws CountenanceError ERR_LABEL_RANGE naming the image, if `label` is not an index into `classes`
 */
function checkLabel(label: number, classes: readonly string[], image: string): void {
  if (!isIndex(label, classes.length)) {
    throw new CountenanceError(
      'ERR_LABEL_RANGE',
      `Label ${label} of '${image}' is not in 0..${classes.length - 1} (${classes.join(', ')})`,
    );
  }
}
