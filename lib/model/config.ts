import {
  checkChoice,
  checkDistinct,
  checkInteger,
  checkNumber,
  checkNumbers,
  checkObject,
  describeValue,
  invalidArgument,
} from '../check.js';
import { encoderNamed, type Backbone } from '../core-options.js';
import { description, type DeviceName } from '../description.js';
import { CountenanceError } from '../errors.js';
import type { NativeEncoder } from '../native.js';
import type { TextEmbeddings } from '../text/embeddings.js';
import { findNeutral } from '../data/dataset.js';

export type { Backbone } from '../core-options.js';

/** The image encoders. */
export const backbones: readonly Backbone[] = description.encoders.map(({ name }) => name);

/** Side of a patch in pixels. */
export type PatchSize = (typeof description.encoders)[number]['patchSizes'][number];
/** All patch sizes of all encoders. */
export const patchSizes: readonly PatchSize[] = [
  ...new Set(description.encoders.flatMap((encoder): readonly PatchSize[] => encoder.patchSizes)),
];

/** Where a model runs; see {@link Device}. */
export const devices: readonly ('auto' | DeviceName)[] = [
  'auto',
  ...description.devices.map(({ name }) => name),
];
/**
 * One of {@link devices}, or `cuda:N` for one of several GPUs (`cuda` is the first). `auto` uses the first
 * GPU if there is a usable one, otherwise the CPU: silently if there is no CUDA plugin, driver or GPU, and
 * with a process warning if there is one that does not work.
 */
export type Device = 'auto' | DeviceName | `cuda:${number}`;

/** Number formats of a forward pass or a training step. */
export const precisions = description.precisions;
/**
 * `fp32`, or `bf16`: activations and matrix products in bfloat16, weights, sums and losses in float32. It
 * needs a GPU.
 */
export type Precision = (typeof precisions)[number];

/** The kinds of devices that compute in a precision. */
export function devicesWith(precision: Precision): string[] {
  return description.devices
    .filter(({ precisions: known }) => (known as readonly Precision[]).includes(precision))
    .map(({ name }) => name);
}

/** Width D of the features and of the text embeddings. */
export const embeddingWidth = 512;

/** Mean and standard deviation of RGB in ImageNet, 0..1; published encoders were trained with them. */
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;

/** Where and how a model runs; not part of its configuration. */
export interface RunOptions {
  /** Default `auto`. */
  readonly device?: Device;
  /** CPU threads; default 0, every core this process may use. Results do not depend on it. */
  readonly threads?: number;
  /**
   * For forward passes, predictions and evaluations; a trainer has its own. Default `fp32`;
   * ERR_UNSUPPORTED if the device does not support it.
   */
  readonly precision?: Precision;
}

/** Options with their defaults, checked. */
export function resolveRunOptions(options: RunOptions): Required<RunOptions> {
  return {
    device: checkDevice(options.device ?? 'auto'),
    threads: checkInteger(options.threads ?? 0, 'threads', 0, 1024),
    precision: checkChoice(options.precision ?? 'fp32', 'precision', precisions),
  };
}

/** Whether a value names a device. */
export function isDevice(value: unknown): value is Device {
  return (
    typeof value === 'string' &&
    (devices.some((device) => device === value) || /^cuda:\d{1,4}$/.test(value))
  );
}

function checkDevice(value: unknown): Device {
  if (isDevice(value)) return value;
  throw invalidArgument(`one of ${devices.join(', ')}, cuda:N`, 'device', value);
}

/** Options of {@link Model.create}. */
export interface ModelOptions extends RunOptions {
  readonly backbone: Backbone;
  /** Side of the square input in pixels, at least 32 (Swin: 112 or 224). Default 112. */
  readonly inputSize?: number;
  /** Swin only: side of a patch. Default 2, from 224 pixels 4. */
  readonly patchSize?: PatchSize;
  /** Swin only: stochastic depth rate of the last block (0 for the first), 0..1. Default 0.1. */
  readonly dropPath?: number;
  /** Class names in the order of the logits. Default: those of the text embeddings. */
  readonly classes?: readonly string[];
  /** The class without expression. Default: the one named `neutral`. */
  readonly neutral?: string;
  /** Raw text embeddings, one row of 512 per class, in the order of the classes or with their names. */
  readonly textEmbeddings: Pick<TextEmbeddings, 'shape' | 'data'> & Partial<TextEmbeddings>;
  /** Factor of the cosine similarities. Default: that of the text embeddings, otherwise CLIP's 100. */
  readonly logitScale?: number;
  /** Seed of the initial weights, an integer. Default 0. */
  readonly seed?: number;
  /** RGB mean in 0..1, subtracted from uint8 images. Default ImageNet's. */
  readonly imageMean?: readonly [number, number, number];
  /** RGB standard deviation that uint8 images are divided by. Default ImageNet's. */
  readonly imageStd?: readonly [number, number, number];
}

/** The configuration of a model: everything except its weights and text embeddings. */
export interface ModelConfig {
  readonly backbone: Backbone;
  readonly inputSize: number;
  /** Swin only (2 for others, unused). */
  readonly patchSize: number;
  /** Swin only (0 for others). */
  readonly dropPath: number;
  readonly classes: readonly string[];
  readonly neutral: string;
  readonly logitScale: number;
  readonly imageMean: readonly [number, number, number];
  readonly imageStd: readonly [number, number, number];
}

/** Checked options with defaults; sizes are checked by the description of the encoder. */
export function resolveConfig(options: ModelOptions): ModelConfig {
  checkObject(options, 'the options of a model');
  const { textEmbeddings } = options;
  if (typeof textEmbeddings !== 'object' || textEmbeddings === null) {
    throw new CountenanceError(
      'ERR_TEXT_EMBEDDINGS',
      'Expected { shape: [classes, 512], data: Float32Array } for textEmbeddings but received ' +
        `${describeValue(textEmbeddings)}; read a file with loadTextEmbeddings, or make a ` +
        'stand-in with syntheticTextEmbeddings',
    );
  }
  const backbone = checkChoice(options.backbone, 'backbone', backbones);
  const encoder = encoderNamed(backbone);
  const { leastInput, mostInput } = encoder;
  const inputSize = checkInteger(options.inputSize ?? 112, 'inputSize', leastInput, mostInput);
  const classes = checkClasses(options.classes ?? textEmbeddings.classes);
  const neutral = options.neutral ?? findNeutral(classes);
  if (neutral === null || !classes.includes(neutral)) {
    throw invalidArgument(`one of the classes (${classes.join(', ')})`, 'neutral', neutral);
  }
  return {
    backbone,
    inputSize,
    patchSize: checkPatches(encoder, inputSize, options.patchSize),
    dropPath: encoder.hasDropPath ? checkNumber(options.dropPath ?? 0.1, 'dropPath', [0, 1]) : 0,
    classes,
    neutral,
    logitScale: checkNumber(
      options.logitScale ?? textEmbeddings.logitScale ?? 100,
      'logitScale',
      'above 0',
    ),
    imageMean: checkNumbers(options.imageMean ?? imagenet.mean, 'imageMean', 3),
    imageStd: checkNumbers(options.imageStd ?? imagenet.std, 'imageStd', 3, 'above 0'),
  };
}

/** The side of a patch; rejects images that the encoder cannot divide into patches. */
function checkPatches(
  { label, patchSizes: sides, grid }: NativeEncoder,
  inputSize: number,
  patchSize: PatchSize | undefined,
): number {
  const side = checkChoice(patchSize ?? (inputSize >= 224 ? 4 : 2), 'patchSize', patchSizes);
  if (sides.length > 0 && inputSize % (grid * side) !== 0) {
    const expected = `a multiple of ${grid * side} (${label} with patches of ${side} x ${side})`;
    throw invalidArgument(expected, 'inputSize', inputSize);
  }
  return side;
}

function checkClasses(classes: unknown): readonly string[] {
  const isList = Array.isArray(classes) && classes.every((name) => typeof name === 'string');
  if (!isList || classes.length < 2 || classes.includes('')) {
    throw invalidArgument('a list of two or more class names', 'classes', classes);
  }
  const names = classes;
  checkDistinct(names, 'classes');
  return [...names];
}

/** An object without some of its properties. */
export function without<T extends object, K extends keyof T>(
  object: T,
  ...names: readonly K[]
): Omit<T, K> {
  const kept = Object.entries(object).filter(
    ([name]) => !(names as readonly string[]).includes(name),
  );
  return Object.fromEntries(kept) as Omit<T, K>;
}
