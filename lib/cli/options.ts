import { InvalidArgumentError, Option, type Command } from 'commander';
import { dataFormats } from '../data/registry.js';
import {
  isDevice,
  devicesWith,
  precisions,
  type Device,
  type Precision,
  type RunOptions,
} from '../model/config.js';

/** Exit statuses of the command. */
export const exitStatus = {
  done: 0,
  failed: 1,
  usage: 2,
  interrupted: 130,
  /** Nobody read the rest of the results: 128 + SIGPIPE, as of other programs in a pipe. */
  unread: 141,
  terminated: 143,
} as const;

/** A parser of whole numbers in [minimum, maximum], for commander. */
export function wholeNumber(
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value;
    const range =
      maximum === Number.MAX_SAFE_INTEGER
        ? `of at least ${minimum}`
        : `from ${minimum} to ${maximum}`;
    throw new InvalidArgumentError(`Expected a whole number ${range}.`);
  };
}

/** A parser of numbers for which `accepts` is true; `expected` describes them. */
export function realNumber(
  expected: string,
  accepts: (value: number) => boolean,
): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? NaN : Number(text);
    if (Number.isFinite(value) && accepts(value)) return value;
    throw new InvalidArgumentError(`Expected ${expected}.`);
  };
}

/** A parser of names separated by commas. */
export function nameList(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) throw new InvalidArgumentError('Expected names separated by commas.');
  return names;
}

/** A parser of an option that may be given several times. */
export function repeated(text: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), text];
}

/** A parser of comma-separated `name=number` pairs, with numbers for which `accepts` is true. */
export function numberPairs(
  expected: string,
  accepts: (value: number) => boolean,
): (text: string) => Record<string, number> {
  return (text) => {
    const pairs = text.split(',').map((pair): [string, number] => {
      const equals = pair.lastIndexOf('=');
      const value = pair.slice(equals + 1).trim();
      return [pair.slice(0, Math.max(equals, 0)).trim(), value === '' ? NaN : Number(value)];
    });
    if (pairs.every(([name, value]) => name !== '' && Number.isFinite(value) && accepts(value))) {
      return Object.fromEntries(pairs);
    }
    throw new InvalidArgumentError(`Expected name=number pairs separated by commas, ${expected}.`);
  };
}

/** {@link numberPairs} restricted to these names. */
export function pairsAmong<Name extends string>(
  names: readonly Name[],
  expected: string,
  accepts: (value: number) => boolean,
): (text: string) => Readonly<Partial<Record<Name, number>>> {
  const parse = numberPairs(expected, accepts);
  return (text) => {
    const pairs = parse(text);
    if (Object.keys(pairs).every((key) => names.some((name) => name === key))) {
      return pairs as Partial<Record<Name, number>>;
    }
    throw new InvalidArgumentError(`Expected names among ${names.join(', ')}.`);
  };
}

/** Options of every command that runs a model. */
export interface DeviceArguments {
  readonly device?: Device;
  readonly threads?: number;
  readonly precision?: Precision;
}

/** The same options in the form a model takes. */
export function runOptions({ device, threads, precision }: DeviceArguments): RunOptions {
  return {
    ...(device && { device }),
    ...(threads !== undefined && { threads }),
    ...(precision && { precision }),
  };
}

function parseDevice(text: string): Device {
  if (isDevice(text)) return text;
  throw new InvalidArgumentError('Expected auto, cpu, cuda or cuda:N.');
}

/** A command's description of an option, and how it parses the argument. */
export interface OptionText {
  /** Includes its argument, if it takes one: `--lr <x>`. */
  readonly flag: `--${string}`;
  readonly help: string;
  /** The default, for the help text. */
  readonly default?: string;
  /** Default: one of the choices or, without choices, the text unchanged. */
  readonly parse?: (text: string, before: never) => unknown;
  readonly choices?: readonly (string | number)[];
}

/** The option in commander's form. */
export function makeOption({ flag, help, default: value, parse, choices }: OptionText): Option {
  const text = [help, ...(value === undefined ? [] : [`(default: ${value})`])];
  const option = new Option(flag, text.filter((part) => part !== '').join(' '));
  if (choices) {
    option.choices(choices.map(String));
    const check = option.parseArg as unknown as (text: string, before: unknown) => string;
    if (typeof choices[0] === 'number') {
      option.argParser((argument, before) => Number(check(argument, before)));
    }
  }
  if (parse) option.argParser(parse as (text: string, before: unknown) => unknown);
  return option;
}

/** Adds an option under its former name: `formerly` instead of `name`. */
export function addFormerName(
  command: Command,
  entry: OptionText,
  name: string,
  formerly: string,
): void {
  const flag = entry.flag.replace(/^--\S+/, `--${formerly}`) as OptionText['flag'];
  command.addOption(
    makeOption({ ...entry, flag })
      .conflicts(name)
      .hideHelp(),
  );
}

/** What {@link addBatchSizeOption} adds. */
export interface BatchSizeArguments {
  readonly batchSize: number;
  /** Its older name. */
  readonly batch?: number;
}

/** Adds `--batch-size`, and `--batch`, its former name. */
export function addBatchSizeOption(command: Command, help: string, initial: number): Command {
  const entry = { flag: '--batch-size <n>', help, parse: wholeNumber(1, 4096) } as const;
  command.addOption(makeOption(entry).default(initial));
  addFormerName(command, entry, 'batchSize', 'batch');
  return command;
}

/** Options shared by several commands. */
export const sharedOptions = {
  device: {
    flag: '--device <name>',
    help: 'auto, cpu, cuda or cuda:N',
    default: 'auto',
    parse: parseDevice,
  },
  threads: {
    flag: '--threads <n>',
    help: 'CPU threads',
    default: 'all cores',
    parse: wholeNumber(1, 1024),
  },
  precision: {
    flag: '--precision <name>',
    help: precisions.map((name) => `${name}: ${devicesWith(name).join(', ')}`).join('; '),
    default: 'fp32',
    choices: precisions,
  },
  json: {
    flag: '--json',
    help: 'print one JSON object per line and nothing else on standard output',
  },
} as const satisfies Record<string, OptionText>;

/** Adds `--device` and `--threads`. */
export function addDeviceOptions(command: Command): Command {
  return command
    .addOption(makeOption(sharedOptions.device))
    .addOption(makeOption(sharedOptions.threads));
}

/** Adds `--precision`. */
export function addPrecisionOption(command: Command): Command {
  return command.addOption(makeOption(sharedOptions.precision));
}

/** Adds `--json`. */
export function addJsonOption(command: Command): Command {
  return command.addOption(makeOption(sharedOptions.json));
}

/** The forms of a data set specification, for the help of the commands that take one. */
export function specHelp(): string {
  const width = Math.max(...dataFormats.map(({ example }) => example.length));
  const lines = dataFormats.map(({ example, summary }) => `  ${example.padEnd(width)}  ${summary}`);
  return `\nA SPEC is format:path[#split][,option=value]:\n${lines.join('\n')}`;
}

/** Examples shown below a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}
