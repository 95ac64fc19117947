import { InvalidArgumentError, Option, type Command } from 'commander';
import { dataFormats } from '../data/registry.js';
import {
  isDevice,
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

/** A parser of numbers that `accepts` holds for; `expected` says which. */
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

/** A parser of `name=number` pairs separated by commas, of numbers that `accepts` holds for. */
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

/** Options of every command that runs a model. */
export interface DeviceArguments {
  readonly device?: Device;
  readonly threads?: number;
  readonly precision?: Precision;
}

/** The same as a model takes it. */
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

/** Adds `--device` and `--threads`. */
export function addDeviceOptions(command: Command): Command {
  return command
    .option('--device <name>', 'auto, cpu, cuda or cuda:N (default: auto)', parseDevice)
    .option('--threads <n>', 'CPU threads (default: every core)', wholeNumber(1, 1024));
}

/** Adds `--precision`. */
export function addPrecisionOption(command: Command): Command {
  return command.addOption(
    new Option('--precision <name>', 'bf16 needs a GPU (default: fp32)').choices(precisions),
  );
}

/** Adds `--json`. */
export function addJsonOption(command: Command): Command {
  return command.option(
    '--json',
    'print one JSON object a line and nothing else on standard output',
  );
}

/** What a data set specification may be, for the help of the commands that take one. */
export function specHelp(): string {
  const width = Math.max(...dataFormats.map(({ example }) => example.length));
  const lines = dataFormats.map(({ example, summary }) => `  ${example.padEnd(width)}  ${summary}`);
  return `\nA SPEC is format:path[#split][,option=value]:\n${lines.join('\n')}`;
}

/** Examples under a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}
