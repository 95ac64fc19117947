import type { Command } from 'commander';
import { CountenanceError } from '../errors.js';
import type { ModelOptions } from '../model/config.js';
import type { CheckpointOptions, FitOptions } from '../train/fit-options.js';
import type { TrainerOptions } from '../train/options.js';
import { presets, type Preset } from '../train/presets.js';
import { addFormerName, makeOption } from './options.js';
import { defaultCheckpointSteps } from './train-defaults.js';
import type { TrainOption } from './train-option.js';
import {
  trainOptions,
  trainSections,
  type KeptArguments,
  type TrainArguments,
} from './train-options.js';

const entries: readonly [string, TrainOption][] = Object.entries(trainOptions);

/** Older names of options, and their current ones. */
const newNames = new Map(
  entries.flatMap(([name, { formerly }]) => (formerly === undefined ? [] : [[formerly, name]])),
);

type Fields = Readonly<Record<string, unknown>>;

/** The command's settings for the library; anything it leaves out has the library's default. */
export interface TrainSettings {
  readonly trainer: TrainerOptions;
  readonly fit: Omit<FitOptions, 'checkpoint'> & {
    readonly checkpoint: Pick<CheckpointOptions, 'everySteps'>;
  };
  readonly model: Partial<ModelOptions>;
}

/** Adds the options of the table to the command. */
export function addTrainOptions(command: Command): void {
  for (const [heading, section] of Object.entries(trainSections)) {
    command.optionsGroup(heading);
    for (const [name, entry] of Object.entries<TrainOption>(section)) {
      const option = makeOption(entry);
      if (entry.conflicts !== undefined) option.conflicts(entry.conflicts);
      command.addOption(option);
      if (entry.formerly !== undefined) addFormerName(command, entry, name, entry.formerly);
    }
  }
  command.optionsGroup('Options:');
}

/** The arguments from commander, under their current names; ends the command on wrong usage. */
export function readArguments(command: Command, parsed: Fields): TrainArguments {
  const given: Fields = withNewNames(parsed);
  for (const [name, { flag, needs }] of entries) {
    if (given[name] === undefined || needs === undefined || given[needs] !== undefined) continue;
    const needed = trainOptions[needs as keyof typeof trainOptions];
    // The checkpoint may have it.
    if (needed.kept && given['resume'] !== undefined) continue;
    command.error(`error: option '${longName(flag)}' needs option '${longName(needed.flag)}'`);
  }
  return given;
}

function longName(flag: string): string {
  return flag.split(' ')[0]!;
}

function withNewNames(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [newNames.get(name) ?? name, value]),
  );
}

/** What a checkpoint keeps of the command, so that `--resume` alone continues it. */
export function keptArguments(options: TrainArguments): KeptArguments {
  const given: Fields = options;
  return Object.fromEntries(
    entries
      .filter(([name, { kept }]) => kept && given[name] !== undefined)
      .map(([name]) => [name, given[name]]),
  );
}

/**
 * Reads what {@link keptArguments}, possibly of an older version, left in a checkpoint.
 *
 * @throws CountenanceError ERR_CHECKPOINT if it holds an option that this version does not know
 */
export function readKept(metadata: unknown, checkpoint: string): KeptArguments {
  if (typeof metadata !== 'object' || metadata === null) return {};
  const kept = withNewNames(metadata as Fields);
  const known = new Map(entries);
  const unknown = Object.keys(kept).find((name) => !known.get(name)?.kept);
  if (unknown !== undefined) {
    throw new CountenanceError(
      'ERR_CHECKPOINT',
      `Checkpoint '${checkpoint}' keeps the option '${unknown}', which this version does not know`,
    );
  }
  // Older checkpoints keep a single specification.
  const lists = ['data', 'validation'].filter((name) => typeof kept[name] === 'string');
  return { ...kept, ...Object.fromEntries(lists.map((name) => [name, [kept[name]]])) };
}

/** The arguments of a resumed run: an option that is given also replaces those it rules out. */
export function mergeArguments(kept: KeptArguments, given: TrainArguments): TrainArguments {
  const ruledOut = entries.flatMap(([name, { conflicts }]) => {
    if (conflicts === undefined) return [];
    return [...(name in given ? [conflicts] : []), ...(conflicts in given ? [name] : [])];
  });
  const rest = Object.entries(kept).filter(([name]) => !ruledOut.includes(name));
  return { ...(Object.fromEntries(rest) as KeptArguments), ...given };
}

/** The requested preset; without one, nothing is preset. */
function presetOf({ preset }: TrainArguments): Partial<Preset> {
  return preset === undefined ? {} : presets[preset];
}

/** The library's options: those of the command override those of the preset. */
export function trainSettings(options: TrainArguments): TrainSettings {
  const { model, trainer, fit } = presetOf(options);
  const seed = trainer?.seed;
  return overSettings(options, {
    trainer: { ...trainer },
    fit: { ...fit, checkpoint: { everySteps: defaultCheckpointSteps } },
    model: { ...model, ...defined({ seed }) },
  });
}

/** The command's own settings for the model. */
export function modelSettings(options: TrainArguments): Partial<ModelOptions> {
  return overSettings(options, { trainer: {}, fit: { checkpoint: {} }, model: {} }).model;
}

function overSettings(options: TrainArguments, start: TrainSettings): TrainSettings {
  const given: Fields = options;
  let settings: Fields = { ...start };
  for (const [name, { to, sets }] of entries) {
    const value = given[name];
    if (value === undefined || typeof to === 'string') continue;
    for (const field of to) settings = withField(settings, field.split('.'), sets ?? value);
  }
  return settings as unknown as TrainSettings;
}

/** The fields with the one at a path set to a value; `*` takes the names of the value. */
function withField(fields: Fields, [key, ...rest]: readonly string[], value: unknown): Fields {
  if (key === undefined) return value as Fields;
  const inner = (name: string, own: unknown): Fields => ({
    [name]: withField((fields[name] ?? {}) as Fields, rest, own),
  });
  if (key !== '*') return { ...fields, ...inner(key, value) };
  const each = Object.entries(value as Fields).map(([name, own]) => inner(name, own));
  return Object.assign({}, fields, ...each) as Fields;
}

/** An object without its undefined fields, so that they do not hide defaults beneath them. */
export function defined<T extends object>(
  fields: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
