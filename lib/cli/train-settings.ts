import type { ClassWeights, SamplingName } from '../data/sampling.js';
import type { Backbone, Precision } from '../model/config.js';
import type { ParameterGroupName, ParameterGroups, WeightDecayTarget } from '../train/groups.js';
import type { Contrast, OptimizerName, TrainerOptions } from '../train/options.js';
import { presets, type Preset, type PresetName } from '../train/presets.js';
import type { FitOptions } from '../train/fit-options.js';
import type { ScheduleName } from '../train/schedule.js';
import type { DeviceArguments } from './options.js';

/** Options of `countenance train` that say what is trained, and that a resumed run takes over. */
export interface RunArguments {
  readonly data?: readonly string[];
  readonly validation?: readonly string[];
  readonly validationFraction?: number;
  readonly classes?: readonly string[];
  readonly neutral?: string;
  readonly limit?: number;
  readonly preset?: PresetName;
  readonly epochs?: number;
  readonly batch?: number;
  readonly optimizer?: OptimizerName;
  readonly lr?: number;
  readonly lrScale?: Readonly<Partial<Record<ParameterGroupName, number>>>;
  readonly schedule?: ScheduleName;
  readonly sampling?: SamplingName;
  readonly classWeights?: ClassWeights;
  readonly patience?: number;
  readonly minDelta?: number;
  readonly momentum?: number;
  readonly weightDecay?: number;
  readonly weightDecayOn?: WeightDecayTarget;
  readonly clip?: number;
  readonly ema?: number;
  readonly contrast?: Contrast;
  readonly precision?: Precision;
  readonly erase?: number;
  readonly seed?: number;
  readonly checkpointSteps?: number;
  readonly log?: string;
  readonly tensorboard?: string;
}

/** All options of `countenance train`. */
export interface TrainArguments extends RunArguments, DeviceArguments {
  readonly backbone?: Backbone;
  readonly size?: number;
  readonly patchSize?: 2 | 4;
  readonly dropPath?: number;
  readonly text?: string;
  readonly logitScale?: number;
  readonly init?: string;
  readonly initPrefix?: string;
  readonly initPartial?: boolean;
  readonly resume?: string;
  readonly out?: string;
  readonly json?: boolean;
}

/** The names of {@link RunArguments}: what a checkpoint keeps. */
const runArgumentNames = [
  'data',
  'validation',
  'validationFraction',
  'classes',
  'neutral',
  'limit',
  'preset',
  'epochs',
  'batch',
  'optimizer',
  'lr',
  'lrScale',
  'schedule',
  'sampling',
  'classWeights',
  'patience',
  'minDelta',
  'momentum',
  'weightDecay',
  'weightDecayOn',
  'clip',
  'ema',
  'contrast',
  'precision',
  'erase',
  'seed',
  'checkpointSteps',
  'log',
  'tensorboard',
] as const satisfies readonly (keyof RunArguments)[];

/** Share split off for validation where nothing is said. */
export const defaultValidationFraction = 0.1;

/** Steps between two checkpoints within an epoch. */
const defaultCheckpointSteps = 500;

/** What a checkpoint keeps of the command, so that `--resume` alone continues it. */
export function pickRunArguments(options: RunArguments): RunArguments {
  return Object.fromEntries(
    runArgumentNames
      .filter((name) => options[name] !== undefined)
      .map((name) => [name, options[name]]),
  );
}

/** The preset asked for; without one, nothing is preset. */
export function presetOf({ preset }: RunArguments): Partial<Preset> {
  return preset === undefined ? {} : presets[preset];
}

/** Options of the trainer: the command's over the preset's; what neither says is the trainer's default. */
export function trainerOptions(options: RunArguments & DeviceArguments): TrainerOptions {
  const preset = presetOf(options).trainer ?? {};
  const { optimizer, lr, momentum, weightDecay, weightDecayOn, clip, ema } = options;
  const { contrast, precision, seed, threads } = options;
  return {
    ...preset,
    ...defined({
      optimizer,
      learningRate: lr,
      momentum,
      weightDecay,
      weightDecayOn,
      maxGradientNorm: clip,
      emaDecay: ema,
      contrast,
      precision,
      seed,
      threads,
    }),
    ...(options.lrScale && { groups: scaleGroups(preset.groups ?? {}, options.lrScale) }),
    ...(options.erase !== undefined && {
      augmentation: { ...preset.augmentation, eraseProbability: options.erase },
    }),
  };
}

/** Groups with other scales of the learning rate; all else stays. */
function scaleGroups(
  groups: ParameterGroups,
  scales: NonNullable<RunArguments['lrScale']>,
): ParameterGroups {
  const entries = Object.entries(scales).map(([name, learningRateScale]) => [
    name,
    { ...groups[name as ParameterGroupName], learningRateScale },
  ]);
  return { ...groups, ...(Object.fromEntries(entries) as ParameterGroups) };
}

/** Options of fit, but for the data and for where it saves. */
export function fitOptions(
  options: RunArguments,
): Omit<FitOptions, 'validation' | 'checkpoint' | 'resume' | 'signal'> {
  const { epochs, batch, schedule, sampling, classWeights, patience, minDelta } = options;
  return {
    ...presetOf(options).fit,
    ...defined({ epochs, batchSize: batch, schedule, sampling, classWeights }),
    ...(patience !== undefined && { earlyStopping: { patience, ...defined({ minDelta }) } }),
  };
}

/** Steps between two checkpoints within an epoch. */
export function checkpointSteps(options: RunArguments): number {
  return options.checkpointSteps ?? defaultCheckpointSteps;
}

/** An object without its undefined fields, so that they do not hide defaults beneath them. */
export function defined<T extends object>(
  fields: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
