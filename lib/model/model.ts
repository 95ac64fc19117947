import { join } from 'node:path';
import { checkInteger } from '../check.js';
import { encoderNamed } from '../core-options.js';
import { CountenanceError, throwIfAborted } from '../errors.js';
import type { TensorLike } from '../images/input.js';
import { awaitNative, callNative, nativeAddon } from '../load-native.js';
import type { NativeModel, NativeOutputs } from '../native.js';
import { modelCard, type CardDetails } from './card.js';
import {
  embeddingWidth,
  resolveConfig,
  resolveRunOptions,
  type ModelConfig,
  type ModelOptions,
  type RunOptions,
} from './config.js';
import {
  configJson,
  insideDirectory,
  modelFiles,
  preprocessorJson,
  readModelDirectory,
} from './directory.js';
import { renameState, type SaveWeightsOptions } from './export.js';
import { Gate } from './gate.js';
import { isTensor, readTensor, toBatch, type ImageBatch } from './images.js';
import { pickWeights, type InitializeOptions, type InitializeReport } from './initialize.js';
import * as state from './state.js';
import {
  selectTextEmbeddings,
  validateTextEmbeddings,
  type TextEmbeddings,
} from '../text/embeddings.js';
import { encodeTextEmbeddings } from '../text/file.js';
import { atOnce, inTurns } from '../turns.js';
import { elementCount, type StateDict, type TensorData } from '../types.js';
import type { FileContent } from '../weights/atomic.js';
import { saveDirectory } from '../weights/directory.js';
import { encodeSafetensors, readSafetensors } from '../weights/safetensors.js';
import { formatOf, writeWeights } from '../weights/write.js';

/** The result of {@link Model.forward} for B images and K classes. */
export interface ModelOutputs {
  /** (B, K): logit scale times the cosine similarity of expression features and text embeddings. */
  readonly logits: TensorData;
  /** (B, 512): expression features f_e. */
  readonly expression: TensorData;
  /** (B, 512): neutral features f_n. */
  readonly neutral: TensorData;
}

/** Outputs of images, and with test-time flip f_e of their mirror images. */
export interface FlippedOutputs extends ModelOutputs {
  /** (B, 512) */
  readonly mirrored?: TensorData;
}

/** What the trainer and the predictor may use of a model. */
export interface ModelInternals {
  readonly native: NativeModel;
  readonly gate: Gate;
  /** Runs a forward pass of `size` images when it is its turn. */
  readonly run: (size: number, pass: () => Promise<NativeOutputs>) => Promise<FlippedOutputs>;
  /** All files of the model directory. The caller holds the gate exclusively. */
  readonly files: (details?: CardDetails) => Promise<Map<string, FileContent>>;
  /** Loads weights. The caller holds the gate exclusively. */
  readonly restore: (tensors: ReadonlyMap<string, TensorData>, what: string) => Promise<void>;
}

/** The internals of a model, for this package only. @internal */
export let internalsOf: (model: Model) => ModelInternals;

/**
 * A network with its weights and its text embeddings, on one device.
 *
 * A model holds memory outside the JavaScript heap: `close()` it, or declare it with `await using`.
 *
 * @example
 * const model = await Model.create({
 *   backbone: 'resnet18',
 *   inputSize: 112,
 *   textEmbeddings: await loadTextEmbeddings('clip.safetensors'),
 * });
 * const { logits } = await model.forward({ images }); // images: Uint8Array (B, 112, 112, 3)
 * await model.save('my-model');
 */
export class Model {
  /** The configuration: backbone, input size, classes, ... */
  readonly config: ModelConfig;
  /** Its text embeddings, one row per class, in the order of `config.classes`. */
  readonly textEmbeddings: TextEmbeddings & { readonly classes: readonly string[] };
  /** Where it runs, such as `cpu (avx512)` or `cuda:0 (NVIDIA H100)`. */
  readonly device: string;
  /** Number of trainable values. */
  readonly parameterCount: number;
  readonly #native: NativeModel;
  readonly #gate = new Gate();
  #closed = false;

  static {
    internalsOf = (model) => model.#internals();
  }

  private constructor(config: ModelConfig, text: TextEmbeddings, native: NativeModel) {
    this.config = Object.freeze(config);
    this.textEmbeddings = { ...text, classes: config.classes };
    this.device = native.device;
    this.parameterCount = native
      .tensors()
      .reduce((sum, { trainable, shape }) => sum + (trainable ? elementCount(shape) : 0), 0);
    this.#native = native;
  }

  /**
   * Creates a model with random weights, initialised as in PyTorch; equal seeds give equal weights.
   *
   * @throws CountenanceError ERR_INVALID_ARGUMENT, ERR_TEXT_EMBEDDINGS, ERR_SHAPE_MISMATCH,
   *   ERR_NOT_FINITE, ERR_ZERO_NORM, ERR_DEVICE_UNAVAILABLE, ERR_UNSUPPORTED, ERR_OUT_OF_MEMORY, ERR_NATIVE_LOAD
   */
  static async create(options: ModelOptions): Promise<Model> {
    const config = resolveConfig(options);
    const text = selectTextEmbeddings(
      validateTextEmbeddings({ source: 'given as numbers', ...options.textEmbeddings }),
      config.classes,
    );
    if (text.shape[1] !== embeddingWidth) {
      throw new CountenanceError(
        'ERR_TEXT_EMBEDDINGS',
        `Expected text embeddings of dimension ${embeddingWidth} but received ${text.shape[1]}`,
      );
    }
    const seed = checkInteger(options.seed ?? 0, 'seed', 0);
    const run = resolveRunOptions(options);
    const native = await awaitNative(() =>
      nativeAddon().createModel({
        backbone: config.backbone,
        inputSize: config.inputSize,
        patchSize: config.patchSize,
        dropPath: config.dropPath,
        text: text.data,
        classes: config.classes.length,
        neutral: config.classes.indexOf(config.neutral),
        logitScale: config.logitScale,
        seed,
        ...run,
      }),
    );
    callNative(() =>
      native.setNormalization(
        Float32Array.from(config.imageMean),
        Float32Array.from(config.imageStd),
      ),
    );
    warnOfFallback(native.fallback);
    return new Model(config, text, native);
  }

  /**
   * Reads a model directory written by {@link Model.save} or by training.
   *
   * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_DIRECTORY, ERR_CHECKPOINT,
   *   ERR_SAFETENSORS, ERR_SHAPE_MISMATCH, ERR_DEVICE_UNAVAILABLE; each names the file
   * @example
   * await using model = await Model.load('my-model', { device: 'cpu' });
   */
  static async load(
    directory: string,
    options: RunOptions & { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Model> {
    const { signal } = options;
    throwIfAborted(signal, 'Loading the model');
    const run = resolveRunOptions(options);
    const read = await readModelDirectory(directory);
    const file = join(directory, modelFiles.weights);
    const { tensors } = await insideDirectory(directory, () => readSafetensors(file, { signal }));
    const model = await Model.create({ ...read.options, ...run });
    try {
      throwIfAborted(signal, 'Loading the model');
      await model.#gate.alone(() => model.#restore(tensors, `'${file}'`));
      return model;
    } catch (error) {
      model.close();
      throw error;
    }
  }

  /**
   * Runs the network in evaluation mode, off the main thread.
   *
   * @param input images: uint8 RGB (B, S, S, 3), normalised here; or float32 already normalised, in the
   *   same order or as `{ data, layout: 'NCHW' }`: copied before this returns. Or a TensorFlow.js tensor
   *   (B, S, S, 3), int32 in 0..255 or normalised float32: read before the promise is settled.
   * @throws CountenanceError ERR_INVALID_ARGUMENT, ERR_SHAPE_MISMATCH, ERR_NOT_FINITE,
   *   ERR_BATCH_TOO_LARGE, ERR_OUT_OF_MEMORY (with a batch size that would fit), ERR_CLOSED
   * @example
   * const { logits, expression, neutral } = await model.forward({ images });
   * logits.shape; // [B, 7]
   * const tensor = tf.tensor(logits.data, [...logits.shape]);
   */
  async forward(input: { readonly images: ImageBatch | TensorLike }): Promise<ModelOutputs> {
    this.#requireOpen();
    const { inputSize } = this.config;
    const given = isTensor(input.images) ? await readTensor(input.images, inputSize) : input.images;
    const { images, size } = toBatch(given, inputSize);
    // Copied now: the job may have to wait.
    const copy = this.#gate.busy ? images.slice() : images;
    return this.#run(size, () => this.#native.forward(copy, size));
  }

  async #run(size: number, pass: () => Promise<NativeOutputs>): Promise<FlippedOutputs> {
    const { logits, expression, neutral, mirrored } = await this.#gate.beside(() => {
      this.#requireOpen();
      return awaitNative(pass);
    });
    const features = (data: Float32Array): TensorData => ({ shape: [size, embeddingWidth], data });
    return {
      logits: { shape: [size, this.config.classes.length], data: logits },
      expression: features(expression),
      neutral: features(neutral),
      ...(mirrored && { mirrored: features(mirrored) }),
    };
  }

  /**
   * A copy of all weights and running statistics with PyTorch's names and layouts.
   *
   * @throws CountenanceError ERR_BUSY while the model works, ERR_CLOSED
   * @example
   * model.stateDict().get('encoder.conv1.weight'); // { shape: [64, 3, 7, 7], data: Float32Array }
   */
  stateDict(): StateDict {
    this.#requireIdle();
    const result: StateDict = new Map();
    atOnce(state.readState(this.#native, result));
    return result;
  }

  /**
   * Loads weights by name; if anything is wrong, nothing is changed. `num_batches_tracked` is ignored.
   *
   * @param options.strict false skips what does not fit instead of rejecting it. Default true.
   * @returns how the names and shapes differed
   * @throws CountenanceError ERR_SHAPE_MISMATCH listing every name that is missing, unexpected or of
   *   another shape; ERR_NOT_FINITE, ERR_INVALID_ARGUMENT, ERR_BUSY, ERR_CLOSED
   */
  loadStateDict(
    tensors: ReadonlyMap<string, TensorData>,
    options: { readonly strict?: boolean } = {},
  ): state.StateDifference {
    this.#requireIdle();
    atOnce(state.checkState(tensors, 'the state dict'));
    const { fitting, ...difference } = state.compareState(this.#native.tensors(), tensors);
    const error = state.differenceError(difference, 'The state dict');
    if (error && options.strict !== false) throw error;
    atOnce(state.writeState(this.#native, tensors, fitting));
    return difference;
  }

  /**
   * Loads pretrained weights: every tensor with a name of a known family (torchvision, timm, Microsoft,
   * Hugging Face, SwinFace, the authors', our own; see docs/weights.md) is loaded, the others keep their
   * values, and the report says which. If anything is wrong, nothing is changed. Weights that lack a part of
   * the encoder are rejected, unless `strict` is false.
   *
   * @param weights a file or directory as for `openWeights` (safetensors, shards, PyTorch),
   *   or tensors by name
   * @throws CountenanceError ERR_SHAPE_MISMATCH if nothing fits, or naming what is missing or of another
   *   shape; ERR_FILE_NOT_FOUND, ERR_SAFETENSORS, ERR_PYTORCH, ERR_UNSAFE_PICKLE, ERR_NOT_FINITE,
   *   ERR_UNSUPPORTED, ERR_ABORTED, ERR_CLOSED
   * @example
   * const report = await model.initialize('resnet18_msceleb.pth');
   * report.source; // 'ResNet of torchvision, timm or MS-Celeb-1M'
   * report.matched.length; // 100
   * report.ignored; // [ 'state_dict.fc.weight', ... ]
   */
  async initialize(
    weights: string | ReadonlyMap<string, TensorData>,
    options: InitializeOptions = {},
  ): Promise<InitializeReport> {
    this.#requireOpen();
    const { head } = encoderNamed(this.config.backbone);
    const target = { tensors: this.#native.tensors(), head };
    const picked = await pickWeights(weights, options, target);
    await this.#gate.alone(async () => {
      this.#requireOpen();
      await inTurns(state.writeState(this.#native, picked.tensors, picked.report.matched));
    });
    return picked.report;
  }

  /**
   * Writes all weights and running statistics into one file for other programs: safetensors, or a file
   * that `torch.load(file, weights_only=True)` reads as a state dict.
   *
   * @throws CountenanceError ERR_WRITE naming the file and the reason, ERR_INVALID_ARGUMENT, ERR_CLOSED
   * @example
   * await model.saveWeights('model.pth');
   * await model.saveWeights('encoder.safetensors', { names: 'encoder' });
   */
  async saveWeights(file: string, options: SaveWeightsOptions = {}): Promise<void> {
    this.#requireOpen();
    const format = options.format ?? formatOf(file);
    const weights: StateDict = new Map();
    await this.#gate.alone(async () => {
      this.#requireOpen();
      await inTurns(state.readState(this.#native, weights));
    });
    await writeWeights(file, renameState(weights, options.names), format);
  }

  /**
   * Writes the model directory: config.json, model.safetensors, preprocessor_config.json,
   * text_embeddings.safetensors and README.md, either all of them or none.
   *
   * @param details additional content of the model card
   * @throws CountenanceError ERR_WRITE that names the directory and the reason; ERR_CLOSED
   */
  async save(directory: string, details: CardDetails = {}): Promise<void> {
    this.#requireOpen();
    const files = await this.#gate.alone(() => this.#files(details));
    await saveDirectory(directory, files);
  }

  /**
   * Frees the memory. Running calls reject with ERR_ABORTED; using the model later is ERR_CLOSED. Can be
   * called more than once.
   */
  close(): void {
    this.#closed = true;
    this.#native.close();
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** {@link close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.#gate.idle();
  }

  #requireOpen(): void {
    if (this.#closed) throw new CountenanceError('ERR_CLOSED', 'The model was used after close()');
  }

  #requireIdle(): void {
    this.#requireOpen();
    if (!this.#gate.busy) return;
    throw new CountenanceError('ERR_BUSY', 'The model is busy: wait for its running work to end');
  }

  async #files(details?: CardDetails): Promise<Map<string, FileContent>> {
    this.#requireOpen();
    const weights: StateDict = new Map();
    await inTurns(state.readState(this.#native, weights));
    const { config, textEmbeddings, parameterCount } = this;
    return new Map<string, FileContent>([
      [modelFiles.config, configJson(config)],
      [modelFiles.preprocessor, preprocessorJson(config)],
      [modelFiles.text, encodeTextEmbeddings(textEmbeddings)],
      [modelFiles.weights, encodeSafetensors(weights, { format: 'pt' })],
      [modelFiles.card, modelCard(config, textEmbeddings, parameterCount, details)],
    ]);
  }

  async #restore(tensors: ReadonlyMap<string, TensorData>, what: string): Promise<void> {
    await inTurns(state.checkState(tensors, what));
    const { fitting, ...difference } = state.compareState(this.#native.tensors(), tensors);
    const error = state.differenceError(difference, what);
    if (error) throw error;
    await inTurns(state.writeState(this.#native, tensors, fitting));
  }

  #internals(): ModelInternals {
    this.#requireOpen();
    return {
      native: this.#native,
      gate: this.#gate,
      run: (size, pass) => this.#run(size, pass),
      files: (details) => this.#files(details),
      restore: (tensors, what) => this.#restore(tensors, what),
    };
  }
}

const warnings = new Set<string>();

/** Warns once per process that an existing GPU is not used. */
function warnOfFallback(reason: string): void {
  if (reason === '' || warnings.has(reason)) return;
  warnings.add(reason);
  process.emitWarning(`The CPU is used because no GPU can be: ${reason}`, {
    type: 'CountenanceWarning',
    code: 'ERR_DEVICE_UNAVAILABLE',
    detail: "Say device: 'cpu' to do without this warning.",
  });
}
