import { CountenanceError } from './errors.js';

/** A short description of a wrong value for "Expected ... but received ..." messages. */
export function describeValue(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string')
    return `'${value.length > 60 ? `${value.slice(0, 57)}...` : value}'`;
  if (typeof value === 'object') return `an object of type ${value.constructor?.name ?? 'Object'}`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') {
    return `${value.toString()} (${typeof value})`;
  }
  return typeof value;
}

/**
 * An ERR_INVALID_ARGUMENT in the standard form.
 *
 * @example invalidArgument('a positive integer', 'epochs', -1)
 * // Expected a positive integer for epochs but received -1 (number)
 */
export function invalidArgument(expected: string, name: string, value: unknown): CountenanceError {
  return new CountenanceError(
    'ERR_INVALID_ARGUMENT',
    `Expected ${expected} for ${name} but received ${describeValue(value)}`,
  );
}

/** True for an index into a list of `size` items. */
export function isIndex(value: number, size: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < size;
}

/** True for an object that is not an array: what JSON calls an object. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Checks an integer in [minimum, maximum] and returns it. */
export function checkInteger(
  value: unknown,
  name: string,
  minimum: number,
  maximum: number = Number.MAX_SAFE_INTEGER,
): number {
  const isInteger = typeof value === 'number' && Number.isSafeInteger(value);
  if (isInteger && value >= minimum && value <= maximum) return value;
  const range =
    maximum === Number.MAX_SAFE_INTEGER
      ? `an integer of at least ${minimum}`
      : `an integer from ${minimum} to ${maximum}`;
  throw invalidArgument(range, name, value);
}

/** The range of a finite number; a pair includes both ends. */
export type NumberRange =
  'at least 0' | 'above 0' | 'at least 0 and below 1' | readonly [minimum: number, maximum: number];

/** Checks a finite number and returns it. */
export function checkNumber(value: unknown, name: string, range: NumberRange): number {
  if (isInRange(value, range)) return value;
  const kind = typeof range === 'string' ? 'a finite number' : 'a number';
  throw invalidArgument(`${kind} ${rangeWords(range)}`, name, value);
}

/** Checks a list of `count` finite numbers, and copies it. */
export function checkNumbers(
  value: unknown,
  name: string,
  count: 2,
  range?: NumberRange,
): [number, number];
export function checkNumbers(
  value: unknown,
  name: string,
  count: 3,
  range?: NumberRange,
): [number, number, number];
export function checkNumbers(
  value: unknown,
  name: string,
  count: 2 | 3,
  range?: NumberRange,
): number[] {
  const isRight = (item: unknown): item is number =>
    range === undefined ? Number.isFinite(item) : isInRange(item, range);
  if (Array.isArray(value) && value.length === count && value.every(isRight)) return [...value];
  const kind = count === 2 ? 'two numbers' : 'three numbers';
  throw invalidArgument(range ? `${kind}, each ${rangeWords(range)}` : kind, name, value);
}

function isInRange(value: unknown, range: NumberRange): value is number {
  if (typeof value !== 'number' || !Number.isFinite(value)) return false;
  if (typeof range !== 'string') return value >= range[0] && value <= range[1];
  if (range === 'above 0') return value > 0;
  return value >= 0 && (range === 'at least 0' || value < 1);
}

function rangeWords(range: NumberRange): string {
  if (typeof range !== 'string') return `from ${range[0]} to ${range[1]}`;
  return range === 'above 0' ? range : `of ${range}`;
}

/** Checks that a value is true or false, and returns it. */
export function checkBoolean(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value;
  throw invalidArgument('true or false', name, value);
}

/**
 * Checks a string that must not be empty, and returns it.
 *
 * @param expected how messages describe it, such as `a path`
 */
export function checkText(value: unknown, name: string, expected: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw invalidArgument(expected, name, value);
}

/** Checks that a value is one of a list, and returns it. */
export function checkChoice<T extends string | number>(
  value: unknown,
  name: string,
  choices: readonly T[],
): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw invalidArgument(`one of ${choices.join(', ')}`, name, value);
  return found;
}

/** Rejects arrays and everything that is not an object. */
export function checkObject(value: unknown, name: string): asserts value is object {
  if (!isObject(value)) throw invalidArgument('an object', name, value);
}

/** Rejects a list in which a name occurs twice. */
export function checkDistinct(names: readonly string[], name: string): void {
  const twice = names.find((item, i) => names.indexOf(item) !== i);
  if (twice !== undefined) throw invalidArgument('distinct names', name, twice);
}
