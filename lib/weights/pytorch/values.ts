/**
 * What Python values become here. None is null; bool, int, float and str are JavaScript's (an int beyond
 * 2^53 is a bigint); bytes are a Uint8Array, a list or set an array, a dict of any kind a Map.
 */

/** A Python tuple. */
export class Tuple {
  constructor(readonly items: readonly unknown[]) {}
}

/** A dictionary that stands for an object's attributes (argparse.Namespace). */
export class Attributes extends Map<unknown, unknown> {}

/** Counts bytes that are copied: a pickle may ask for the same copy many times. */
export type Charge = (bytes: number) => void;

/** Builds a value from the arguments of a call. */
export type Build = (args: readonly unknown[], charge: Charge) => unknown;

/** A name of the allow-list: a marker, or a constructor of inert values. */
export class Global {
  constructor(
    /** `module.name`. */
    readonly name: string,
    /** Builds the value; undefined for names that are only mentioned (storage types, dtypes). */
    readonly build?: Build,
  ) {}
}

/** Why a pickle's content is rejected; becomes an error that names the file. */
export class PickleProblem extends Error {
  constructor(
    reason: string,
    readonly kind: 'malformed' | 'unsafe' = 'malformed',
  ) {
    super(reason);
  }
}

/** Maximum number of dimensions of a tensor. */
const mostDimensions = 16;

/** An array of integers of at least 0, from a tuple, list or torch.Size. */
export function toSizes(value: unknown, what: string): number[] {
  const items: unknown = value instanceof Tuple ? value.items : value;
  const valid =
    Array.isArray(items) &&
    items.length <= mostDimensions &&
    items.every((item) => Number.isSafeInteger(item) && (item as number) >= 0);
  if (!valid) throw new PickleProblem(`a tensor has no valid ${what}`);
  return [...(items as number[])];
}

/** An integer of at least 0. */
export function toCount(value: unknown, what: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new PickleProblem(`it has no valid ${what}`);
}

/** A string from a file, as part of a message: printable, on one line, not too long. */
export function quote(text: string): string {
  const short = text.length > 120 ? `${text.slice(0, 117)}...` : text;
  return `'${short.replace(/[^\x20-\x7e\xa1-\uffff]/g, '?')}'`;
}
