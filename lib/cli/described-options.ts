import { InvalidArgumentError } from 'commander';
import { checkOption } from '../core-options.js';
import { description, type ObjectiveOptions, type OptimizerSettings } from '../description.js';
import { messageOf } from '../errors.js';
import type { NativeOption } from '../native.js';

/** An option of `train` for each field of the trainer's options that the core describes. */
type DescribedSection<Options> = {
  readonly [Name in keyof Required<Options> & string]: {
    readonly flag: `--${string}`;
    readonly help: string;
    readonly default?: string;
    readonly to: readonly [`trainer.${Name}`];
    readonly kept: true;
  } & (Options[Name] extends boolean | undefined
    ? object
    : { readonly parse: (text: string) => NonNullable<Options[Name]> });
};

/** Options that only some optimizers have: `--momentum`, `--betas`, ... */
export const optimizerSettings = section<OptimizerSettings>(
  description.optimizers.flatMap(({ label, options }) =>
    options.map((option): Described => ({ option, owner: label })),
  ),
);

/** Options of the loss: `--contrast`, ... */
export const objectiveSettings = section<ObjectiveOptions>(
  description.objectiveOptions.map((option) => ({ option })),
);

interface Described {
  readonly option: NativeOption;
  /** The optimizer that has it. */
  readonly owner?: string;
}

function section<Options>(described: readonly Described[]): DescribedSection<Options> {
  const names = [...new Set(described.map(({ option }) => option.name))];
  const entries = names.map((name) => {
    const same = described.filter(({ option }) => option.name === name);
    return [name, entry(same)] as const;
  });
  return Object.fromEntries(entries) as unknown as DescribedSection<Options>;
}

/** The command's option for one name; each of its owners may have its own default. */
function entry(same: readonly Described[]): object {
  const { option } = same[0]!;
  const owners = same.flatMap(({ owner }) => owner ?? []);
  const defaults = same.map(({ option: { default: value }, owner }) =>
    owner === undefined ? String(value) : `${String(value)} for ${owner}`,
  );
  const agree = new Set(same.map(({ option: { default: value } }) => String(value))).size === 1;
  const flag = `--${option.name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const argument = { number: ' <x>', pair: ' <a,b>', switch: '', choice: ' <name>' }[option.kind];
  return {
    flag: flag + argument,
    help: owners.length > 0 ? `${owners.join(', ')}: ${option.help}` : option.help,
    ...(option.kind !== 'switch' && {
      default: agree ? String(option.default) : defaults.join(', '),
    }),
    ...(option.kind === 'choice'
      ? { choices: option.choices }
      : option.kind !== 'switch' && { parse: (text: string) => parse(option, text) }),
    to: [`trainer.${option.name}`],
    kept: true,
  };
}

function parse(option: NativeOption, text: string): unknown {
  const number = (part: string): number => (part.trim() === '' ? NaN : Number(part));
  const given = option.kind === 'pair' ? text.split(',').map(number) : number(text);
  try {
    return checkOption(option, given);
  } catch (error) {
    throw new InvalidArgumentError(`${messageOf(error)}.`);
  }
}
