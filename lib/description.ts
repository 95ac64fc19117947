// Made by `npm run describe` from the tables in native/: do not edit.

/** What the core offers, as `describe()` of the addon gives it. */
export const description = {
  devices: [
    { name: 'cpu', precisions: ['fp32'] },
    { name: 'cuda', precisions: ['fp32', 'bf16'] },
  ],
  precisions: ['fp32', 'bf16'],
  encoders: [
    {
      name: 'resnet18',
      label: 'ResNet-18',
      leastInput: 32,
      mostInput: 1024,
      patchSizes: [],
      grid: 1,
      hasDropPath: false,
      head: null,
      optimizer: 'sgd',
    },
    {
      name: 'resnet34',
      label: 'ResNet-34',
      leastInput: 32,
      mostInput: 1024,
      patchSizes: [],
      grid: 1,
      hasDropPath: false,
      head: null,
      optimizer: 'sgd',
    },
    {
      name: 'resnet50',
      label: 'ResNet-50',
      leastInput: 32,
      mostInput: 1024,
      patchSizes: [],
      grid: 1,
      hasDropPath: false,
      head: 'fc.',
      optimizer: 'sgd',
    },
    {
      name: 'swin-t',
      label: 'Swin-T',
      leastInput: 112,
      mostInput: 1024,
      patchSizes: [2, 4],
      grid: 56,
      hasDropPath: true,
      head: 'feature.',
      optimizer: 'adamw',
    },
    {
      name: 'swin-s',
      label: 'Swin-S',
      leastInput: 112,
      mostInput: 1024,
      patchSizes: [2, 4],
      grid: 56,
      hasDropPath: true,
      head: 'feature.',
      optimizer: 'adamw',
    },
  ],
  optimizers: [
    {
      name: 'sgd',
      label: 'SGD',
      options: [
        {
          name: 'momentum',
          kind: 'number',
          range: 'at least 0 and below 1',
          default: 0.9,
          help: "share of the last step's velocity that is kept",
        },
        { name: 'nesterov', kind: 'switch', default: false, help: "Nesterov's momentum" },
      ],
      slots: ['velocity'],
      learningRate: 0.1,
      steepLearningRate: 0.05,
      weightDecay: 0.0005,
      maxGradientNorm: 0,
    },
    {
      name: 'adamw',
      label: 'AdamW',
      options: [
        {
          name: 'betas',
          kind: 'pair',
          range: 'at least 0 and below 1',
          default: [0.9, 0.999],
          help: 'decay of the averages of the gradient and of its square',
        },
        {
          name: 'eps',
          kind: 'number',
          range: 'above 0',
          default: 1e-8,
          help: 'added to the root of the second average',
        },
      ],
      slots: ['firstMoment', 'secondMoment'],
      learningRate: 0.0005,
      steepLearningRate: 0.0005,
      weightDecay: 0.05,
      maxGradientNorm: 5,
    },
    {
      name: 'lion',
      label: 'Lion',
      options: [
        {
          name: 'betas',
          kind: 'pair',
          range: 'at least 0 and below 1',
          default: [0.9, 0.99],
          help: 'share of the momentum in a step, and of what is kept of it',
        },
      ],
      slots: ['momentum'],
      learningRate: 0.0001,
      steepLearningRate: 0.0001,
      weightDecay: 0.25,
      maxGradientNorm: 5,
    },
  ],
  lossTerms: [
    { name: 'supervised', symbol: 'L_s', help: 'cross entropy of the class' },
    {
      name: 'transformation',
      symbol: 'L_t',
      help: 'direction of the emotional-to-neutral transformation, 0..2; 0 without a non-neutral image',
    },
    { name: 'contrast', symbol: 'L_c', help: 'self-contrast, 0..4; 0 without a non-neutral image' },
  ],
  objectiveOptions: [
    {
      name: 'contrast',
      kind: 'choice',
      choices: ['pairwise', 'diagonal'],
      default: 'pairwise',
      help: "reduction of the contrast loss: every text with every image (the authors' code), or each image with its own text",
    },
    {
      name: 'labelSmoothing',
      kind: 'number',
      range: 'at least 0 and below 1',
      default: 0,
      help: 'share of each target that is spread evenly over the classes',
    },
  ],
} as const;

/** The kinds of devices. */
export type DeviceName = 'cpu' | 'cuda';

/** The image encoders. */
export type Backbone = 'resnet18' | 'resnet34' | 'resnet50' | 'swin-t' | 'swin-s';

/** The optimizers. */
export type OptimizerName = 'sgd' | 'adamw' | 'lion';

/** Options that only some optimizers have. Names and meanings are PyTorch's. */
export interface OptimizerSettings {
  /** SGD only: share of the last step's velocity that is kept, at least 0 and below 1. Default 0.9. */
  readonly momentum?: number;
  /** SGD only: Nesterov's momentum. Default false. */
  readonly nesterov?: boolean;
  /** AdamW, Lion only: decay of the averages of the gradient and of its square, at least 0 and below 1. Default AdamW [0.9, 0.999], Lion [0.9, 0.99]. */
  readonly betas?: readonly [number, number];
  /** AdamW only: added to the root of the second average, above 0. Default 1e-8. */
  readonly eps?: number;
}

/** Options of the loss. */
export interface ObjectiveOptions {
  /** Reduction of the contrast loss: every text with every image (the authors' code), or each image with its own text. Default pairwise. */
  readonly contrast?: 'pairwise' | 'diagonal';
  /** Share of each target that is spread evenly over the classes, at least 0 and below 1. Default 0. */
  readonly labelSmoothing?: number;
}

/** The terms of the loss, without their weights. */
export interface LossTerms {
  /** L_s, cross entropy of the class. */
  readonly supervised: number;
  /** L_t, direction of the emotional-to-neutral transformation, 0..2; 0 without a non-neutral image. */
  readonly transformation: number;
  /** L_c, self-contrast, 0..4; 0 without a non-neutral image. */
  readonly contrast: number;
}
