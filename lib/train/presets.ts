import type { ModelOptions } from '../model/config.js';
import type { FitOptions } from './fit-options.js';
import type { TrainerOptions } from './options.js';

/** A named set of options for model, trainer and fit; any that it does not name keep their defaults. */
export interface Preset {
  /** One line for the help text. */
  readonly summary: string;
  readonly model: Partial<
    Pick<ModelOptions, 'backbone' | 'inputSize' | 'patchSize' | 'dropPath' | 'logitScale'>
  >;
  readonly trainer: TrainerOptions;
  readonly fit: Pick<FitOptions, 'epochs' | 'batchSize' | 'schedule' | 'dropLast'>;
}

/**
 * Presets by name. `paper-code` is exactly the authors' released script; the others are common
 * practice for their encoder and a starting point: they were not tuned on any data set.
 */
export const presets = {
  /** The released training script of the paper's authors, for Swin-T on RAF-DB. */
  'paper-code': {
    summary: "the authors' script: Swin-T at 112, from face recognition weights",
    model: { backbone: 'swin-t', inputSize: 112, patchSize: 2, dropPath: 0.1, logitScale: 100 },
    trainer: {
      optimizer: 'sgd',
      learningRate: 0.002,
      momentum: 0.9,
      nesterov: false,
      weightDecay: 5e-4,
      maxGradientNorm: 0,
      emaDecay: 0,
      contrast: 'pairwise',
      lossWeights: { supervised: 1, transformation: 1, contrast: 1 },
      seed: 29,
      augmentation: {
        cropProbability: 0.5,
        cropPadding: 4,
        flipProbability: 0.5,
        eraseProbability: 0.5,
        eraseArea: [0.02, 0.25],
        eraseAspect: [0.3, 3.3],
      },
    },
    fit: { epochs: 50, batchSize: 64, schedule: 'paper-code', dropLast: true },
  },
  /** Random weights; the logit scale that learned best in the project's FER+ runs. */
  'resnet18-scratch': {
    summary: 'ResNet-18 from random weights',
    model: { backbone: 'resnet18', logitScale: 30 },
    trainer: { optimizer: 'sgd', learningRate: 0.1, momentum: 0.9, weightDecay: 5e-4 },
    fit: { epochs: 30, batchSize: 64, schedule: 'cosine' },
  },
  /**
   * Weights of face recognition (MS-Celeb-1M) or ImageNet: small steps, ten times larger ones for the
   * transformation, which is new, and more erasing.
   */
  'resnet18-finetune': {
    summary: 'ResNet-18 from weights trained before (--init)',
    model: { backbone: 'resnet18' },
    trainer: {
      optimizer: 'sgd',
      learningRate: 0.01,
      groups: { transformation: { learningRateScale: 10 } },
      momentum: 0.9,
      weightDecay: 5e-4,
      augmentation: { eraseProbability: 0.5 },
    },
    fit: { epochs: 30, batchSize: 64, schedule: 'cosine' },
  },
  /** Transformers need long training and strong regularisation when they start from random weights. */
  'swin-t-scratch': {
    summary: 'Swin-T from random weights: long, for large data sets',
    model: { backbone: 'swin-t', dropPath: 0.2, logitScale: 30 },
    trainer: {
      optimizer: 'adamw',
      learningRate: 5e-4,
      weightDecay: 0.05,
      maxGradientNorm: 5,
      emaDecay: 0.999,
      augmentation: { eraseProbability: 0.25 },
    },
    fit: { epochs: 100, batchSize: 64, schedule: 'cosine' },
  },
  /** Swin-T's usual fine-tuning: a tenth of the original learning rate, except for new parts. */
  'swin-t-finetune': {
    summary: 'Swin-T from weights trained before (--init)',
    model: { backbone: 'swin-t', dropPath: 0.1 },
    trainer: {
      optimizer: 'adamw',
      learningRate: 5e-5,
      groups: { transformation: { learningRateScale: 10 } },
      weightDecay: 0.05,
      maxGradientNorm: 5,
      augmentation: { eraseProbability: 0.5 },
    },
    fit: { epochs: 30, batchSize: 64, schedule: 'cosine' },
  },
} as const satisfies Record<string, Preset>;

/** The name of a preset. */
export type PresetName = keyof typeof presets;
