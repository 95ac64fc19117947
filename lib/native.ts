/**
 * The contract of the native addon: what `native/addon` exports and `lib` may call. Only typed
 * arrays, strings, numbers, booleans and one options object cross the boundary. JavaScript checks its
 * arguments first and explains errors; the addon checks sizes again and throws (or rejects with) an Error
 * whose `code` is one of lib/errors.ts. Every promise's work runs off the main thread.
 */
import type { LossTerms } from './description.js';

/** What the addon is and can use. */
export interface NativeInfo {
  /** Instruction set chosen for this process. */
  readonly isa: 'portable' | 'avx2' | 'avx512';
  /** Cores this process may use: the default number of threads. */
  readonly threads: number;
  readonly cuda: NativeCudaInfo;
}

/** What `device: 'cuda'` can use. */
export interface NativeCudaInfo {
  readonly available: boolean;
  /** Why there is no GPU; empty if there is one. */
  readonly reason: string;
  /** Path of the CUDA plugin; null if none was opened. */
  readonly plugin: string | null;
  /** CUDA version that the driver supports, such as "13.0"; null without a driver or a plugin. */
  readonly driver: string | null;
  /** CUDA version that the plugin was built with; null without a plugin. */
  readonly runtime: string | null;
  readonly devices: readonly NativeCudaDevice[];
}

/** A GPU. */
export interface NativeCudaDevice {
  /** N of `device: 'cuda:N'`. */
  readonly index: number;
  readonly name: string;
  /** Such as "9.0"; 8.0 is the minimum that works. */
  readonly computeCapability: string;
  readonly memoryBytes: number;
}

/** A setting, as a table in native/ describes it. */
export interface NativeOption {
  readonly name: string;
  readonly kind: 'number' | 'pair' | 'switch' | 'choice';
  /** For a number, or for both numbers of a pair. */
  readonly range?: 'at least 0' | 'above 0' | 'at least 0 and below 1';
  /** For a choice. */
  readonly choices?: readonly string[];
  readonly default: NativeOptionValue;
  /** A phrase for help texts. */
  readonly help: string;
}

export type NativeOptionValue = number | readonly [number, number] | boolean | string;

export interface NativeEncoder {
  readonly name: string;
  /** The name for people: "ResNet-18". */
  readonly label: string;
  /** Side of its input in pixels. */
  readonly leastInput: number;
  readonly mostInput: number;
  /** Supported sides of a patch; empty if it does not cut images into patches. */
  readonly patchSizes: readonly number[];
  /** The input is a multiple of grid x patch size. */
  readonly grid: number;
  /** Whether it has stochastic depth. */
  readonly hasDropPath: boolean;
  /** Prefix of the names of its layers after pooling; null if it has none. */
  readonly head: string | null;
  /** The optimizer that it is usually trained with. */
  readonly optimizer: string;
}

export interface NativeOptimizer {
  readonly name: string;
  readonly label: string;
  readonly options: readonly NativeOption[];
  /** Its state tensors: the keys of a checkpoint. */
  readonly slots: readonly string[];
  /** Defaults of the trainer's options. */
  readonly learningRate: number;
  /** The default if the logit scale is above 50. */
  readonly steepLearningRate: number;
  readonly weightDecay: number;
  readonly maxGradientNorm: number;
}

export interface NativeLossTerm {
  readonly name: string;
  readonly symbol: string;
  readonly help: string;
}

/** A kind of device. */
export interface NativeDevice {
  readonly name: string;
  /** The number formats that it can compute in. */
  readonly precisions: readonly string[];
}

/** What the core offers. lib/description.ts is a copy of it, with types. */
export interface NativeDescription {
  readonly devices: readonly NativeDevice[];
  readonly precisions: readonly string[];
  readonly encoders: readonly NativeEncoder[];
  readonly optimizers: readonly NativeOptimizer[];
  readonly lossTerms: readonly NativeLossTerm[];
  readonly objectiveOptions: readonly NativeOption[];
}

export interface NativeModelOptions {
  readonly backbone: string;
  readonly inputSize: number;
  /** Swin only: side of a patch, 2 or 4. */
  readonly patchSize: number;
  /** Swin only: stochastic depth rate of the last block, linear ramp. */
  readonly dropPath: number;
  /** Raw text embeddings (classes x 512), row-major, finite, no zero row. */
  readonly text: Float32Array;
  readonly classes: number;
  /** Index of the neutral class. */
  readonly neutral: number;
  readonly logitScale: number;
  /** Seed of the initial weights. */
  readonly seed: number;
  /** 0: every core this process may use. */
  readonly threads: number;
  readonly device: 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;
  /** Of forward passes; `bf16` is ERR_UNSUPPORTED on the CPU. */
  readonly precision: 'fp32' | 'bf16';
}

export interface NativeTensorInfo {
  /** PyTorch's state-dict name: `encoder.conv1.weight`, `MLP.fc1.bias`, ... */
  readonly name: string;
  readonly shape: readonly number[];
  /** False for running statistics. */
  readonly trainable: boolean;
}

/** Row-major outputs of a batch in evaluation mode. */
export interface NativeOutputs {
  /** (B, K) */
  readonly logits: Float32Array;
  /** (B, 512) facial expression representation f_e. */
  readonly expression: Float32Array;
  /** (B, 512) neutral representation f_n. */
  readonly neutral: Float32Array;
  /** (B, 512) f_e of the mirror images; only with test-time flip. */
  readonly mirrored?: Float32Array;
}

/** A model: weights, and the plans that run it. Its jobs run one after another on its own thread. */
export interface NativeModel {
  /** "cpu (avx512)", "cuda:0 (NVIDIA H100)". */
  readonly device: string;
  /** Why `device: 'auto'` could not use a GPU that is present; empty if it could or there is none. */
  readonly fallback: string;
  tensors(): NativeTensorInfo[];
  /** A copy in PyTorch's layout. Throws ERR_BUSY while a job of the model runs, ERR_CLOSED after close. */
  readTensor(name: string): Float32Array;
  /** Copies `data` (PyTorch's layout, exact size, finite) into the model. */
  writeTensor(name: string, data: Float32Array): void;
  /**
   * Evaluation mode. `images`: (batch, S, S, 3), uint8 RGB (normalised with `mean` and `std` here)
   * or float32 already normalised. The array is copied before this returns.
   */
  forward(images: Uint8Array | Float32Array, batch: number): Promise<NativeOutputs>;
  /**
   * {@link forward} of RGB images (height, width, 3) of any size, resized on the model's device as by
   * {@link NativeAddon.resize}. `sides`: width and height of each. With test-time flip (`flip`) the logits
   * are averaged over the images and their mirror images. The arrays are copied before this returns.
   */
  forwardImages(
    images: readonly Uint8Array[],
    sides: Uint32Array,
    flip: boolean,
  ): Promise<NativeOutputs>;
  /** Normalisation of uint8 images; defaults to ImageNet's. */
  setNormalization(mean: Float32Array, std: Float32Array): void;
  /** Frees everything without waiting: running jobs are aborted and reject with ERR_ABORTED. Idempotent. */
  close(): void;
}

/** Which graph to describe; see {@link NativeAddon.describeGraph}. */
export interface NativeGraphOptions extends Omit<
  NativeModelOptions,
  'text' | 'seed' | 'threads' | 'device'
> {
  readonly mode: 'evaluation' | 'training';
  /** B, 1..4096. */
  readonly batch: number;
}

/** A tensor that a graph's operations read or write. */
export interface NativeValue {
  /** The batch comes first, the channels last: (B, H, W, C) for images and tokens, (B, C) for features. */
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'bfloat16' | 'uint8' | 'int32';
  /** Whether a trained parameter precedes it; never in evaluation mode. */
  readonly wantsGradient: boolean;
}

/**
 * An operation as it runs: in evaluation mode a convolution with its folded norm, residual and
 * activation is one operation. The attributes and roles are documented by `describe()` in each file of
 * native/ops and native/losses.
 */
export interface NativeOperation {
  /** `conv2d`, `conv_norm`, `linear`, `window_attention`, ... */
  readonly type: string;
  /**
   * Unique: the prefix of its parameters' names (`encoder.layer1.0.conv1`) or, without parameters, the
   * name of the operation that made its last input plus the type (`MLP.fc1.relu`).
   */
  readonly name: string;
  /** `stride`, `eps`, `activation`, ... */
  readonly attributes: Readonly<Record<string, number | string>>;
  /** Index in {@link NativeGraph.values} by role: `x`, `residual`, ...; a role without a value is absent. */
  readonly inputs: Readonly<Record<string, number>>;
  /** Likewise: `y`, and what is saved for the backward pass or lives during the operation. */
  readonly outputs: Readonly<Record<string, number>>;
  /** Name in {@link NativeGraph.parameters} by role: `weight`, `running_mean`, ... */
  readonly parameters: Readonly<Record<string, string>>;
}

/** A network as the core builds it: every operation in order of execution. */
export interface NativeGraph {
  readonly operations: readonly NativeOperation[];
  readonly values: readonly NativeValue[];
  readonly parameters: readonly NativeTensorInfo[];
  /**
   * Index of the values filled before a run: normalised `images` (B, S, S, 3), `pixels`, which become
   * them, `text` (K, 512) raw; training: `targets` (B, K).
   */
  readonly inputs: Readonly<Record<string, number>>;
  /** Evaluation: `logits`, `expression`, `neutral`. Training: `losses`, `logits`. */
  readonly outputs: Readonly<Record<string, number>>;
}

export interface NativeAugmentation {
  readonly cropProbability: number;
  readonly cropPadding: number;
  readonly flipProbability: number;
  readonly eraseProbability: number;
  readonly eraseArea: readonly [number, number];
  readonly eraseAspect: readonly [number, number];
}

/** Groups of parameters, like those of torch.optim. */
export interface NativeParameterGroups {
  /** For each group: the factor of the step's learning rate; 0 or more. */
  readonly learningRateScales: Float32Array;
  /** For each group. */
  readonly weightDecays: Float32Array;
  /** The group of each of the model's tensors, in the order of `tensors()`; any value for statistics. */
  readonly of: Uint8Array;
}

export interface NativeTrainerOptions {
  readonly optimizer: string;
  /** A value for each of its options. */
  readonly settings: Readonly<Record<string, NativeOptionValue>>;
  readonly weightDecay: number;
  /** Null: one group with the options here. Otherwise `weightDecay` is not used. */
  readonly groups: NativeParameterGroups | null;
  /** 0: no clipping. */
  readonly maxGradientNorm: number;
  /** 0: no average of the weights. */
  readonly emaDecay: number;
  readonly lossWeights: Readonly<Record<keyof LossTerms, number>>;
  /** A value for each of the objective's options. */
  readonly objective: Readonly<Record<string, NativeOptionValue>>;
  readonly precision: 'fp32' | 'bf16';
  /** 0: the model's. */
  readonly threads: number;
  /** Seed of augmentation and drop path. */
  readonly seed: number;
  readonly augmentation: NativeAugmentation;
  /** Gives every tensor its own NaN-filled buffer: for tests of the memory plan. */
  readonly guard: boolean;
}

export interface NativeBatch {
  /** (B, S, S, 3): uint8 RGB, or float32 already normalised (never augmented). */
  readonly images: Uint8Array | Float32Array;
  /** (B, K), rows summing to 1. */
  readonly targets: Float32Array;
  readonly size: number;
  /** Draw crop, flip and erasing from (seed, epoch, samples[i]); needs uint8 images. */
  readonly augment: boolean;
  readonly epoch: number;
  /** (B) index of each sample in its data set. */
  readonly samples: Uint32Array;
  readonly learningRate: number;
}

export interface NativeStepResult {
  /** The terms times their weights. */
  readonly loss: number;
  readonly terms: LossTerms;
  /** Samples whose highest logit is at their target's best class. */
  readonly correct: number;
  /** |g|_2 before clipping. */
  readonly gradientNorm: number;
}

export interface NativeTrainer {
  /** Steps taken; keys the random numbers of drop path. Can be set for resuming. */
  stepCount: number;
  /**
   * Steps that may be requested before the first of them is done, so that the device never waits for
   * the host: 0 on the CPU. If one fails, those after it reject with ERR_ABORTED and do nothing.
   */
  readonly stepsAhead: number;
  /** One forward pass, backward pass and update, on the model's thread. Arrays are copied before this returns. */
  step(batch: NativeBatch): Promise<NativeStepResult>;
  /** Gradient of the last step (before clipping), PyTorch's layout. */
  readGradient(name: string): Float32Array;
  /** Names of a parameter's state tensors: the optimizer's slots, plus "average" with EMA. */
  slots(): string[];
  readSlot(slot: string, name: string): Float32Array;
  writeSlot(slot: string, name: string, data: Float32Array): void;
  /** Exchanges the weights with their average (EMA), for evaluation; a second call swaps them back. */
  swapAverage(): void;
  close(): void;
}

export interface NativeAddon {
  info(): NativeInfo;
  describe(): NativeDescription;
  /**
   * Sets the path of a CUDA plugin outside the addon's folder, and why it may not be used (empty: it
   * may). To be called before anything else.
   */
  setCudaPlugin(path: string, problem: string): void;
  createModel(options: NativeModelOptions): Promise<NativeModel>;
  createTrainer(model: NativeModel, options: NativeTrainerOptions): NativeTrainer;
  /**
   * The graph of a model that need not exist: no weights are made, nothing runs. Describes what the CPU
   * would run, also for bf16. Throws ERR_INVALID_ARGUMENT.
   */
  describeGraph(options: NativeGraphOptions): NativeGraph;
  /**
   * Pillow's antialiased bilinear resize of an RGB image (height x width x 3) to `size` x `size`.
   */
  resize(image: Uint8Array, width: number, height: number, size: number): Promise<Uint8Array>;
  /**
   * A square of an RGB image through an affine map from output to input coordinates (native/image/warp.h);
   * black outside the image.
   */
  warp(
    image: Uint8Array,
    width: number,
    height: number,
    size: number,
    map: Float32Array,
  ): Promise<Uint8Array>;
}
