import { samplings } from '../data/sampling.js';
import { backbones } from '../model/config.js';
import { presets, type PresetName } from '../train/presets.js';
import {
  nameList,
  numberPairs,
  realNumber,
  repeated,
  sharedOptions,
  wholeNumber,
} from './options.js';
import {
  defaultBackbone,
  defaultCheckpointSteps,
  defaultOf,
  defaultValidationFraction,
} from './train-defaults.js';
import {
  augmentationOptions,
  objectiveOptions,
  optimizerOptions,
} from './train-learning-options.js';
import type {
  ArgumentsOf,
  FieldsWithoutOption,
  KeptNames,
  MistakesOrNull,
  Section,
} from './train-option.js';

const positive = realNumber('a number above 0', (value) => value > 0);
const share = realNumber('a number of at least 0 and below 1', (value) => value >= 0 && value < 1);
const probability = realNumber('a number from 0 to 1', (value) => value >= 0 && value <= 1);

const presetNames = Object.keys(presets) as PresetName[];

const inModel = { kept: false, because: "it is in the checkpoint's model directory" } as const;
const onceOnly = { kept: false, because: 'the weights are in the checkpoint' } as const;

const runOptions = {
  data: {
    flag: '--data <spec>',
    help: 'labelled images to train on; may be repeated',
    parse: repeated,
    to: 'data',
    kept: true,
  },
  validation: {
    flag: '--validation <spec>',
    help: 'labelled images for selecting the best epoch',
    parse: repeated,
    to: 'data',
    kept: true,
  },
  validationFraction: {
    flag: '--validation-fraction <x>',
    help: 'fraction of the training images split off for validation, 0: none',
    default: String(defaultValidationFraction),
    parse: share,
    to: 'data',
    conflicts: 'validation',
    kept: true,
  },
  classes: {
    flag: '--classes <a,b,..>',
    help: 'train only on these classes',
    parse: nameList,
    to: 'data',
    kept: true,
  },
  neutral: {
    flag: '--neutral <name>',
    help: 'the class without expression',
    default: 'the one named neutral',
    to: ['model.neutral'],
    kept: true,
  },
  limit: {
    flag: '--limit <n>',
    help: 'use at most this many images of each data set',
    parse: wholeNumber(1),
    to: 'data',
    kept: true,
  },
  out: {
    flag: '--out <dir>',
    help: 'directory for the model; its folder "last" contains the newest checkpoint',
    to: 'run',
    kept: false,
    because: 'a run goes on where its checkpoint lies',
  },
  resume: {
    flag: '--resume <dir>',
    help: 'continue an interrupted run with its options',
    to: 'run',
    kept: false,
    because: 'it is what finds the checkpoint',
  },
  checkpointSteps: {
    flag: '--checkpoint-steps <n>',
    help: 'steps between checkpoints',
    default: String(defaultCheckpointSteps),
    parse: wholeNumber(1),
    to: ['fit.checkpoint.everySteps'],
    kept: true,
  },
  log: {
    flag: '--log <file>',
    help: 'write steps and epochs to a file, .csv or .jsonl',
    to: 'run',
    kept: true,
  },
  tensorboard: {
    flag: '--tensorboard <dir>',
    help: 'write event files for TensorBoard',
    to: 'run',
    kept: true,
  },
  device: {
    ...sharedOptions.device,
    to: ['model.device'],
    kept: false,
    because: 'a run may go on elsewhere',
  },
  threads: {
    ...sharedOptions.threads,
    to: ['trainer.threads', 'model.threads'],
    kept: false,
    because: 'results do not depend on it, and a run may go on elsewhere',
  },
  json: { ...sharedOptions.json, to: 'run', kept: false, because: 'it is about one output' },
} as const satisfies Section;

const modelOptions = {
  backbone: {
    flag: '--backbone <name>',
    help: 'encoder',
    default: defaultBackbone,
    choices: backbones,
    to: ['model.backbone'],
    ...inModel,
  },
  size: {
    flag: '--size <n>',
    help: 'side of the input in pixels',
    default: defaultOf('model.inputSize'),
    parse: wholeNumber(32, 4096),
    to: ['model.inputSize'],
    ...inModel,
  },
  patchSize: {
    flag: '--patch-size <n>',
    help: 'Swin: side of a patch',
    default: '2, from 224 pixels 4',
    choices: [2, 4],
    to: ['model.patchSize'],
    ...inModel,
  },
  dropPath: {
    flag: '--drop-path <x>',
    help: 'Swin: stochastic depth',
    default: defaultOf('model.dropPath'),
    parse: probability,
    to: ['model.dropPath'],
    ...inModel,
  },
  text: {
    flag: '--text <file>',
    help: 'text embeddings (.safetensors, .npy, .json), or "synthetic"',
    to: 'run',
    ...inModel,
  },
  logitScale: {
    flag: '--logit-scale <x>',
    help: 'factor of the cosine similarities',
    default: 'that of the text embeddings, or 100',
    parse: positive,
    to: ['model.logitScale'],
    ...inModel,
  },
  init: {
    flag: '--init <weights>',
    help: 'start from these weights (.pth, .pt, .safetensors, a directory)',
    to: 'run',
    conflicts: 'resume',
    ...onceOnly,
  },
  initPrefix: {
    flag: '--init-prefix <text>',
    help: 'load only names with this prefix, and remove it',
    to: 'run',
    needs: 'init',
    ...onceOnly,
  },
  initPartial: {
    flag: '--init-partial',
    help: 'start with what fits, even if a part of the encoder is missing or of another shape',
    to: 'run',
    needs: 'init',
    ...onceOnly,
  },
} as const satisfies Section;

const trainingOptions = {
  preset: {
    flag: '--preset <name>',
    help: 'settings for all options that are not given, listed below',
    choices: presetNames,
    to: 'run',
    kept: true,
  },
  epochs: {
    flag: '--epochs <n>',
    help: '',
    default: defaultOf('fit.epochs'),
    parse: wholeNumber(1, 1_000_000),
    to: ['fit.epochs'],
    kept: true,
  },
  batchSize: {
    flag: '--batch-size <n>',
    help: 'images per step',
    default: defaultOf('fit.batchSize'),
    parse: wholeNumber(1, 4096),
    to: ['fit.batchSize'],
    formerly: 'batch',
    kept: true,
  },
  keepLastBatch: {
    flag: '--keep-last-batch',
    help: 'use the last batch of an epoch even if it is incomplete',
    to: ['fit.dropLast'],
    sets: false,
    kept: true,
  },
  sampling: {
    flag: '--sampling <name>',
    help: 'how often images are drawn: each once, or each class equally often',
    default: defaultOf('fit.sampling'),
    choices: samplings,
    to: ['fit.sampling'],
    kept: true,
  },
  classWeights: {
    flag: '--class-weights <a=x,..>',
    help: 'draw images of these classes x times as often',
    parse: numberPairs('numbers above 0', (value) => value > 0),
    to: ['fit.classWeights'],
    kept: true,
  },
  patience: {
    flag: '--patience <n>',
    help: 'stop after n epochs without an improvement of the validation accuracy',
    parse: wholeNumber(1),
    to: ['fit.earlyStopping.patience'],
    kept: true,
  },
  minDelta: {
    flag: '--min-delta <x>',
    help: 'smallest improvement that counts for --patience',
    default: '0',
    parse: probability,
    to: ['fit.earlyStopping.minDelta'],
    needs: 'patience',
    kept: true,
  },
  precision: {
    ...sharedOptions.precision,
    to: ['trainer.precision', 'model.precision'],
    kept: true,
  },
  seed: {
    flag: '--seed <n>',
    help: 'seed of weights, order and augmentation',
    default: defaultOf('trainer.seed'),
    parse: wholeNumber(0),
    to: ['trainer.seed', 'model.seed'],
    kept: true,
  },
} as const satisfies Section;

/** The options, grouped by their heading in the help text. */
export const trainSections = {
  'Options:': runOptions,
  'Model:': modelOptions,
  'Training:': trainingOptions,
  'Optimizer:': optimizerOptions,
  'Loss:': objectiveOptions,
  'Augmentation:': augmentationOptions,
} as const satisfies Record<string, Section>;

/**
 * Every option of `countenance train`, by its property. What commander reads, what a checkpoint keeps
 * and what the library is given all derive from this.
 */
export const trainOptions = {
  ...runOptions,
  ...modelOptions,
  ...trainingOptions,
  ...optimizerOptions,
  ...objectiveOptions,
  ...augmentationOptions,
};

type Table = typeof trainOptions;

/** The arguments of `countenance train`. */
export type TrainArguments = ArgumentsOf<Table>;

/** Those that a checkpoint keeps. */
export type KeptArguments = Pick<TrainArguments, KeptNames<Table>>;

/**
 * The fields of the library's options that no option sets by itself, and why. A new field does not
 * compile until it is here or in {@link trainOptions}.
 */
export const fieldsWithoutOption = {
  'trainer.groups.*.weightDecay': '--weight-decay-on says what most runs need',
  'trainer.augmentation.cropPadding': 'the probability is what runs change',
  'trainer.augmentation.eraseArea': 'the probability is what runs change',
  'trainer.augmentation.eraseAspect': 'the probability is what runs change',
  'trainer.guard': 'finds mistakes of the native code',
  'fit.validation': 'opened from --validation, or --validation-fraction',
  'fit.resume': 'the checkpoint found by --resume',
  'fit.signal': 'Ctrl-C',
  'fit.cacheBytes': "a quarter of the machine's memory suits a command that has it to itself",
  'fit.checkpoint.directory': '--out, or where the resumed run lies',
  'fit.checkpoint.onAbort': 'always',
  'fit.checkpoint.metadata': 'what this table keeps',
  'model.classes': 'those of the data',
  'model.textEmbeddings': 'read from --text',
  'model.imageMean': "the encoders' weights want ImageNet's",
  'model.imageStd': "the encoders' weights want ImageNet's",
} as const satisfies Record<FieldsWithoutOption<Table>, string>;

/** Fails to compile if an option does not fit what it sets, or names an option that does not exist. */
export const mistakes: MistakesOrNull<Table> = null;
