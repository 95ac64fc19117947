import { description, type Backbone, type LossTerms, type OptimizerName } from './description.js';
import { invalidArgument } from './errors.js';
import type { NativeEncoder, NativeOption, NativeOptimizer, NativeOptionValue } from './native.js';

export type { Backbone, OptimizerName } from './description.js';

/** A term of the loss. */
export type LossTermName = keyof LossTerms;

/** The names of the terms, in the order of logs and tables. */
export const lossTermNames: readonly LossTermName[] = description.lossTerms.map(({ name }) => name);

/** What the core says of an encoder. */
export function encoderNamed(name: Backbone): NativeEncoder {
  return description.encoders.find((encoder) => encoder.name === name)!;
}

/** What the core says of an optimizer. */
export function optimizerNamed(name: OptimizerName): NativeOptimizer {
  return description.optimizers.find((optimizer) => optimizer.name === name)!;
}

/** An object with a value for each term. */
export function perTerm<T>(value: (name: LossTermName) => T): Record<LossTermName, T> {
  const entries = lossTermNames.map((name) => [name, value(name)]);
  return Object.fromEntries(entries) as Record<LossTermName, T>;
}

/**
 * Checks the value of an option that the core describes.
 *
 * @param name what messages call it, where that is not the option's own name
 * @throws CountenanceError ERR_INVALID_ARGUMENT
 */
export function checkOption(
  option: NativeOption,
  value: unknown,
  name: string = option.name,
): NativeOptionValue {
  const { kind, range, choices = [] } = option;
  if (kind === 'switch') {
    if (typeof value === 'boolean') return value;
    throw invalidArgument('true or false', name, value);
  }
  if (kind === 'choice') {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw invalidArgument(`one of ${choices.join(', ')}`, name, value);
    return found;
  }
  const isRight = (number: unknown): boolean =>
    typeof number === 'number' && inRange(number, range);
  if (kind === 'number' && isRight(value)) return value as number;
  const isPair = Array.isArray(value) && value.length === 2 && value.every(isRight);
  if (kind === 'pair' && isPair) return [...(value as [number, number])];
  const expected = kind === 'pair' ? 'two numbers, each' : 'a finite number';
  throw invalidArgument(`${expected} ${rangeWords[range ?? 'at least 0']}`, name, value);
}

const rangeWords = {
  'at least 0': 'of at least 0',
  'above 0': 'above 0',
  'at least 0 and below 1': 'of at least 0 and below 1',
} as const;

function inRange(value: number, range: NativeOption['range']): boolean {
  if (!Number.isFinite(value) || value < 0) return false;
  return range === 'above 0' ? value > 0 : range !== 'at least 0 and below 1' || value < 1;
}
