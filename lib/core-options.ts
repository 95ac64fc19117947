import { checkBoolean, checkChoice, checkNumber, checkNumbers } from './check.js';
import { description, type Backbone, type LossTerms, type OptimizerName } from './description.js';
import type { NativeEncoder, NativeOption, NativeOptimizer, NativeOptionValue } from './native.js';

export type { Backbone, OptimizerName } from './description.js';

/** A term of the loss. */
export type LossTermName = keyof LossTerms;

/** The names of the terms, in the order of logs and tables. */
export const lossTermNames: readonly LossTermName[] = description.lossTerms.map(({ name }) => name);

/** The core's description of an encoder. */
export function encoderNamed(name: Backbone): NativeEncoder {
  return description.encoders.find((encoder) => encoder.name === name)!;
}

/** The core's description of an optimizer. */
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
 * @param name the name used in messages, if it is not the option's own
 * @throws CountenanceError ERR_INVALID_ARGUMENT
 */
export function checkOption(
  option: NativeOption,
  value: unknown,
  name: string = option.name,
): NativeOptionValue {
  const { kind, range = 'at least 0', choices = [] } = option;
  if (kind === 'switch') return checkBoolean(value, name);
  if (kind === 'choice') return checkChoice(value, name, choices);
  return kind === 'pair' ? checkNumbers(value, name, 2, range) : checkNumber(value, name, range);
}
