import type { ModelOptions } from '../model/config.js';
import type { FitOptions } from './fit-options.js';
import type { TrainerOptions } from './options.js';

/** A named set of options of model, trainer and fit. */
export interface Preset {
  readonly model: Pick<ModelOptions, 'inputSize' | 'dropPath' | 'logitScale'>;
  readonly trainer: TrainerOptions;
  readonly fit: Pick<FitOptions, 'epochs' | 'batchSize' | 'schedule' | 'dropLast'>;
}

/** Presets by name. */
export const presets = {
  /** The released training script of the paper's authors, for Swin-T on RAF-DB. */
  'paper-code': {
    model: { inputSize: 112, dropPath: 0.1, logitScale: 100 },
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
} as const satisfies Record<string, Preset>;

/** The name of a preset. */
export type PresetName = keyof typeof presets;
