import {
  checkBoolean,
  checkChoice,
  checkInteger,
  checkNumber,
  checkNumbers,
  checkObject,
} from '../check.js';
import {
  checkOption,
  encoderNamed,
  optimizerNamed,
  perTerm,
  type LossTermName,
  type OptimizerName,
} from '../core-options.js';
import { description, type ObjectiveOptions, type OptimizerSettings } from '../description.js';
import { precisions, type Backbone, type Precision } from '../model/config.js';
import type {
  NativeOptimizer,
  NativeOption,
  NativeOptionValue,
  NativeTensorInfo,
  NativeTrainerOptions,
} from '../native.js';
import {
  resolveGroups,
  toNativeGroups,
  weightDecayTargets,
  type ParameterGroups,
  type ResolvedParameterGroups,
  type WeightDecayTarget,
} from './groups.js';

export type { OptimizerName } from '../core-options.js';

/** The optimizers. */
export const optimizers: readonly OptimizerName[] = description.optimizers.map(({ name }) => name);

/** `pairwise`: every text with every image (the authors' code); `diagonal`: each image with its own text. */
export type Contrast = Required<ObjectiveOptions>['contrast'];
/** Reductions of the contrast loss. */
export const contrasts: readonly Contrast[] = description.objectiveOptions.flatMap((option) =>
  option.name === 'contrast' ? option.choices : [],
);

/** Random augmentation of a training image, in this order, with torchvision's rules. */
export interface Augmentation {
  /** Probability of a random crop from the image padded with a black border. */
  readonly cropProbability?: number;
  /** Width of that border in pixels. */
  readonly cropPadding?: number;
  /** Probability of a horizontal flip. */
  readonly flipProbability?: number;
  /** Probability of erasing a rectangle (set to 0 after normalisation). */
  readonly eraseProbability?: number;
  /** Fraction of the image's area that is erased, minimum and maximum. */
  readonly eraseArea?: readonly [number, number];
  /** Height / width of the erased rectangle, minimum and maximum. */
  readonly eraseAspect?: readonly [number, number];
}

/** Weights of the loss terms by name; default 1. */
export type LossWeights = Readonly<Partial<Record<LossTermName, number>>>;

/** Options of a {@link Trainer}. Names and meanings are PyTorch's. */
export interface TrainerOptions extends OptimizerSettings, ObjectiveOptions {
  /** Default: what the encoder is usually trained with, `sgd` for ResNets, `adamw` for Swin. */
  readonly optimizer?: OptimizerName;
  /**
   * Highest learning rate of the schedule. Default for SGD 0.1, or 0.05 if the logit scale of the model is
   * above 50 (which makes the gradients larger); for AdamW 0.0005.
   */
  readonly learningRate?: number;
  /** Default 0.0005 for SGD (added to the gradient), 0.05 for AdamW (decoupled). */
  readonly weightDecay?: number;
  /** Which parameters have weight decay. Default `all`. */
  readonly weightDecayOn?: WeightDecayTarget;
  /**
   * Parts of the model with their own learning rate and weight decay, like parameter groups of torch.optim:
   * the learning rate of a group is that of the schedule, or of the step, times its `learningRateScale`.
   * Default: none.
   *
   * @example { backbone: { learningRateScale: 0.1 }, transformation: { weightDecay: 0 } }
   */
  readonly groups?: ParameterGroups;
  /** Gradients with a larger norm are scaled down to this norm; 0: no clipping. Default 0, for AdamW 5. */
  readonly maxGradientNorm?: number;
  /** Decay of a moving average of the weights, which is then evaluated and saved; 0: none. Default 0. */
  readonly emaDecay?: number;
  readonly lossWeights?: LossWeights;
  /** Default `fp32`; ERR_UNSUPPORTED if the device does not support it. */
  readonly precision?: Precision;
  /** CPU threads; default 0, the model's. Results do not depend on it. */
  readonly threads?: number;
  /** Seed of the order of images, their augmentation and drop path. Default 0. */
  readonly seed?: number;
  /**
   * Augmentation of uint8 images in {@link Trainer.fit}. Default: crop (probability 0.5, border 4) and flip
   * (0.5). Erasing (0.5 in the paper's recipe, for pretrained encoders) is off.
   */
  readonly augmentation?: Augmentation;
  /** Gives every tensor its own buffer, filled with NaN: slow, finds mistakes in the memory plan. */
  readonly guard?: boolean;
}

/** {@link TrainerOptions} with all defaults. */
export interface ResolvedTrainerOptions extends Required<
  Omit<TrainerOptions, 'groups' | 'lossWeights' | 'augmentation'>
> {
  readonly groups: ResolvedParameterGroups;
  readonly lossWeights: Required<LossWeights>;
  readonly augmentation: Required<Augmentation>;
}

/** What the defaults depend on. */
interface ModelTraits {
  readonly backbone: Backbone;
  readonly logitScale: number;
}

/**
 * All defaults and checks of the trainer's options.
 *
 * @throws CountenanceError ERR_INVALID_ARGUMENT that names the option
 */
export function resolveTrainerOptions(
  options: TrainerOptions,
  model: ModelTraits,
): ResolvedTrainerOptions {
  checkObject(options, 'the options of a trainer');
  const optimizer = checkChoice(
    options.optimizer ?? encoderNamed(model.backbone).optimizer,
    'optimizer',
    optimizers,
  );
  const defaults = optimizerNamed(optimizer);
  const rate = model.logitScale > 50 ? defaults.steepLearningRate : defaults.learningRate;
  const weights = options.lossWeights ?? {};
  checkObject(weights, 'lossWeights');
  const weightDecay = checkNumber(
    options.weightDecay ?? defaults.weightDecay,
    'weightDecay',
    'at least 0',
  );
  return {
    optimizer,
    ...resolveSettings(options, defaults),
    ...resolveObjective(options),
    learningRate: checkNumber(options.learningRate ?? rate, 'learningRate', 'above 0'),
    weightDecay,
    weightDecayOn: checkChoice(options.weightDecayOn ?? 'all', 'weightDecayOn', weightDecayTargets),
    groups: resolveGroups(options.groups ?? {}, model.backbone, weightDecay),
    maxGradientNorm: checkNumber(
      options.maxGradientNorm ?? defaults.maxGradientNorm,
      'maxGradientNorm',
      'at least 0',
    ),
    emaDecay: checkNumber(options.emaDecay ?? 0, 'emaDecay', 'at least 0 and below 1'),
    lossWeights: perTerm((name) =>
      checkNumber(weights[name] ?? 1, `lossWeights.${name}`, 'at least 0'),
    ),
    precision: checkChoice(options.precision ?? 'fp32', 'precision', precisions),
    threads: checkInteger(options.threads ?? 0, 'threads', 0, 1024),
    seed: checkInteger(options.seed ?? 0, 'seed', 0),
    augmentation: resolveAugmentation(options.augmentation ?? {}),
    guard: checkBoolean(options.guard ?? false, 'guard'),
  };
}

/** The settings of every optimizer: those of the chosen one, and the defaults of the others. */
function resolveSettings(
  options: OptimizerSettings,
  chosen: NativeOptimizer,
): Required<OptimizerSettings> {
  const described = [chosen, ...description.optimizers].flatMap((optimizer) => optimizer.options);
  return resolveDescribed<OptimizerSettings>(described, options);
}

function resolveObjective(options: ObjectiveOptions): Required<ObjectiveOptions> {
  return resolveDescribed<ObjectiveOptions>(description.objectiveOptions, options);
}

/** A checked value for each option; if two have the same name, the first one defines the default. */
function resolveDescribed<T extends object>(
  described: readonly NativeOption[],
  options: T,
): Required<T> {
  const given = new Map<string, unknown>(Object.entries(options));
  const values = new Map<string, unknown>();
  for (const option of described) {
    if (values.has(option.name)) continue;
    values.set(option.name, checkOption(option, given.get(option.name) ?? option.default));
  }
  return Object.fromEntries(values) as Required<T>;
}

/** The values that the addon expects for a list of options. */
function pickDescribed(
  described: readonly NativeOption[],
  options: ResolvedTrainerOptions,
): Record<string, NativeOptionValue> {
  const values = new Map<string, unknown>(Object.entries(options));
  return Object.fromEntries(
    described.map(({ name }) => [name, values.get(name) as NativeOptionValue]),
  );
}

function resolveAugmentation(options: Augmentation): Required<Augmentation> {
  checkObject(options, 'augmentation');
  const probability = (value: number, name: string): number =>
    checkNumber(value, `augmentation.${name}`, [0, 1]);
  return {
    cropProbability: probability(options.cropProbability ?? 0.5, 'cropProbability'),
    cropPadding: checkInteger(options.cropPadding ?? 4, 'augmentation.cropPadding', 0, 4096),
    flipProbability: probability(options.flipProbability ?? 0.5, 'flipProbability'),
    eraseProbability: probability(options.eraseProbability ?? 0, 'eraseProbability'),
    eraseArea: checkNumbers(options.eraseArea ?? [0.02, 0.25], 'augmentation.eraseArea', 2, [0, 1]),
    eraseAspect: checkNumbers(
      options.eraseAspect ?? [0.3, 3.3],
      'augmentation.eraseAspect',
      2,
      'above 0',
    ),
  };
}

/** The options for the addon, for a model with these tensors. */
export function toNativeOptions(
  options: ResolvedTrainerOptions,
  tensors: readonly NativeTensorInfo[],
): NativeTrainerOptions {
  const { lossWeights, augmentation, ...rest } = options;
  return {
    optimizer: rest.optimizer,
    settings: pickDescribed(optimizerNamed(rest.optimizer).options, options),
    weightDecay: rest.weightDecay,
    groups: toNativeGroups(options, tensors),
    maxGradientNorm: rest.maxGradientNorm,
    emaDecay: rest.emaDecay,
    lossWeights,
    objective: pickDescribed(description.objectiveOptions, options),
    precision: rest.precision,
    threads: rest.threads,
    seed: rest.seed,
    augmentation,
    guard: rest.guard,
  };
}
