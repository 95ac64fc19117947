import type { ModelOptions } from '../model/config.js';
import type { EarlyStopping } from '../train/early-stopping.js';
import type { CheckpointOptions, FitOptions } from '../train/fit-options.js';
import type { ParameterGroupOptions } from '../train/groups.js';
import type { Augmentation, TrainerOptions } from '../train/options.js';
import type { OptionText } from './options.js';

/** The library's options that the command fills in. */
interface Library {
  readonly trainer: TrainerOptions;
  readonly fit: FitOptions;
  readonly model: ModelOptions;
}

/** Each of their fields by its path; `*` stands for each name of a record. */
export type Field =
  | `trainer.${Exclude<keyof TrainerOptions, 'groups' | 'lossWeights' | 'augmentation'>}`
  | `trainer.groups.*.${keyof ParameterGroupOptions}`
  | 'trainer.lossWeights.*'
  | `trainer.augmentation.${keyof Augmentation}`
  | `fit.${Exclude<keyof FitOptions, 'earlyStopping' | 'checkpoint'>}`
  | `fit.earlyStopping.${keyof EarlyStopping}`
  | `fit.checkpoint.${keyof CheckpointOptions}`
  | `model.${keyof ModelOptions}`;

/** An option of `countenance train`. */
export type TrainOption = OptionText & {
  /** The fields it sets, or what reads it: the code that opens the data, or the command itself. */
  readonly to: readonly Field[] | 'data' | 'run';
  /** The value that a flag without an argument gives the fields. Default true. */
  readonly sets?: unknown;
  /** Its name in older command lines and checkpoints, as a property. */
  readonly formerly?: string;
  /** An option that it cannot be used with. */
  readonly conflicts?: string;
  /** An option without which it has no meaning. */
  readonly needs?: string;
} & (
    | {
        /** A checkpoint keeps it, so that `--resume` alone continues the run. */ readonly kept: true;
      }
    | { readonly kept: false; /** Why a checkpoint does not. */ readonly because: string }
  );

/** Options under one heading of the help text, by their property. */
export type Section = Readonly<Record<string, TrainOption>>;

/** The type that an option's argument is parsed to. */
export type ValueOf<Entry> = Entry extends { parse: (...text: never[]) => infer Value }
  ? Value
  : Entry extends { choices: readonly (infer Choice)[] }
    ? Choice
    : Entry extends { flag: `${string}<${string}` }
      ? string
      : boolean;

/** The arguments of the options in a table. */
export type ArgumentsOf<Table> = { readonly [Name in keyof Table]?: ValueOf<Table[Name]> };

/** The options that a checkpoint keeps. */
export type KeptNames<Table> = {
  [Name in keyof Table]: Table[Name] extends { kept: true } ? Name : never;
}[keyof Table];

/** The fields that an entry sets. */
type FieldsOf<Entry> = Entry extends { to: readonly (infer Path extends Field)[] } ? Path : never;

/** The fields that no entry of a table sets. */
export type FieldsWithoutOption<Table> = Exclude<
  Field,
  { [Name in keyof Table]: FieldsOf<Table[Name]> }[keyof Table]
>;

/**
 * The options of a table that contain a mistake, or null: a value that does not fit the field it sets,
 * or the name of another option that does not exist.
 */
export type MistakesOrNull<Table> = [Mistakes<Table>] extends [never]
  ? null
  : Extract<Mistakes<Table>, string>;

type Mistakes<Table> = {
  [Name in keyof Table]:
    | {
        [Path in FieldsOf<Table[Name]>]: Fits<Table[Name], Path> extends true ? never : Name;
      }[FieldsOf<Table[Name]>]
    | (Table[Name] extends { conflicts: infer Other } ? Unknown<Table, Other, Name> : never)
    | (Table[Name] extends { needs: infer Other } ? Unknown<Table, Other, Name> : never);
}[keyof Table];

type Unknown<Table, Other, Name> = Other extends keyof Table ? never : Name;

type Fits<Entry, Path extends string> = FitsField<
  Entry extends { sets: infer Value } ? Value : ValueOf<Entry>,
  ValueAt<Library, Path>
>;

/** Assignable, and without extra names: all fields of the target may be optional. */
type FitsField<Value, Target> = [Value] extends [Target]
  ? [keyof Value] extends [keyof NonNullable<Target>]
    ? true
    : false
  : false;

type ValueAt<Options, Path extends string> = Path extends `${infer Key}.${infer Rest}`
  ? Key extends '*'
    ? { readonly [Name in keyof Options]?: ValueAt<Nested<Options[Name]>, Rest> }
    : Key extends keyof Options
      ? ValueAt<Nested<Options[Key]>, Rest>
      : never
  : Path extends '*'
    ? Options
    : Path extends keyof Options
      ? Options[Path]
      : never;

type Nested<Value> = Extract<Value, object>;
