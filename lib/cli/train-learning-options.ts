import { parameterGroups, weightDecayTargets } from '../train/groups.js';
import { optimizers } from '../train/options.js';
import { schedules } from '../train/schedule.js';
import { pairsAmong, realNumber, wholeNumber } from './options.js';
import { objectiveSettings, optimizerSettings } from './described-options.js';
import { defaultOf, lossParts } from './train-defaults.js';
import type { Section } from './train-option.js';

const positive = realNumber('a number above 0', (value) => value > 0);
const notNegative = realNumber('a number of at least 0', (value) => value >= 0);
const share = realNumber('a number of at least 0 and below 1', (value) => value >= 0 && value < 1);
const probability = realNumber('a number from 0 to 1', (value) => value >= 0 && value <= 1);

/** Options for how a step changes the weights. */
export const optimizerOptions = {
  optimizer: {
    flag: '--optimizer <name>',
    help: '',
    default: defaultOf('trainer.optimizer', 'Swin'),
    choices: optimizers,
    to: ['trainer.optimizer'],
    kept: true,
  },
  lr: {
    flag: '--lr <x>',
    help: 'highest learning rate',
    default: 'by optimizer and logit scale',
    parse: positive,
    to: ['trainer.learningRate'],
    kept: true,
  },
  lrScale: {
    flag: '--lr-scale <part=x,..>',
    help: `learning rate of a part relative to --lr, 0 freezes it: ${parameterGroups.join(', ')}`,
    parse: pairsAmong(parameterGroups, 'numbers of at least 0', (value) => value >= 0),
    to: ['trainer.groups.*.learningRateScale'],
    kept: true,
  },
  schedule: {
    flag: '--schedule <name>',
    help: '',
    default: defaultOf('fit.schedule'),
    choices: schedules,
    to: ['fit.schedule'],
    kept: true,
  },
  warmupSteps: {
    flag: '--warmup-steps <n>',
    help: 'steps during which the learning rate rises',
    default: '200, at most a fifth of the run',
    parse: wholeNumber(0),
    to: ['fit.warmupSteps'],
    kept: true,
  },
  ...optimizerSettings,
  weightDecay: {
    flag: '--weight-decay <x>',
    help: '',
    default: defaultOf('trainer.weightDecay', 'adamw'),
    parse: notNegative,
    to: ['trainer.weightDecay'],
    kept: true,
  },
  weightDecayOn: {
    flag: '--weight-decay-on <what>',
    help: 'parameters with weight decay',
    default: defaultOf('trainer.weightDecayOn'),
    choices: weightDecayTargets,
    to: ['trainer.weightDecayOn'],
    kept: true,
  },
  clip: {
    flag: '--clip <x>',
    help: 'largest gradient norm, 0: no clipping',
    default: defaultOf('trainer.maxGradientNorm', 'adamw'),
    parse: notNegative,
    to: ['trainer.maxGradientNorm'],
    kept: true,
  },
  ema: {
    flag: '--ema <x>',
    help: 'decay of a moving average of the weights, 0: none',
    default: defaultOf('trainer.emaDecay'),
    parse: share,
    to: ['trainer.emaDecay'],
    kept: true,
  },
} as const satisfies Section;

/** Options for what is minimised. */
export const objectiveOptions = {
  ...objectiveSettings,
  lossWeights: {
    flag: '--loss-weights <part=x,..>',
    help: `weights of the loss terms: ${lossParts.join(', ')}; default 1`,
    parse: pairsAmong(lossParts, 'numbers of at least 0', (value) => value >= 0),
    to: ['trainer.lossWeights.*'],
    kept: true,
  },
} as const satisfies Section;

/** Options for the random augmentation of images. */
export const augmentationOptions = {
  crop: {
    flag: '--crop <x>',
    help: 'probability of a random crop',
    default: defaultOf('trainer.augmentation.cropProbability'),
    parse: probability,
    to: ['trainer.augmentation.cropProbability'],
    kept: true,
  },
  flip: {
    flag: '--flip <x>',
    help: 'probability of a horizontal flip',
    default: defaultOf('trainer.augmentation.flipProbability'),
    parse: probability,
    to: ['trainer.augmentation.flipProbability'],
    kept: true,
  },
  erase: {
    flag: '--erase <x>',
    help: 'probability of erasing a rectangle',
    default: defaultOf('trainer.augmentation.eraseProbability'),
    parse: probability,
    to: ['trainer.augmentation.eraseProbability'],
    kept: true,
  },
} as const satisfies Section;
