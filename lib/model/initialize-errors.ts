import { CountenanceError } from '../errors.js';
import type { Match, NamedShape } from '../weights/names/match.js';
import { listShapes } from './state.js';

/** How to take what fits all the same, in code and on the command line. */
const takePartly = 'with strict: false (--init-partial) the rest keeps its values';

/** ERR_SHAPE_MISMATCH for weights of which nothing has a place in the model. */
export function nothingFits(
  what: string,
  names: readonly string[],
  known: readonly NamedShape[],
  seen: readonly string[],
): CountenanceError {
  const looks =
    seen.length > 0
      ? `it looks like ${firstOf(seen)}, which is another network`
      : 'give a prefix or rename them';
  return new CountenanceError(
    'ERR_SHAPE_MISMATCH',
    `Nothing of ${what} fits the model: its names start with ${firstOf(names)}, the model's with ` +
      `${firstOf(known.map(({ name }) => name))}; ${looks}`,
  );
}

/** ERR_SHAPE_MISMATCH for a file of an optimizer's states alone. */
export function onlyOptimizer(what: string, names: readonly string[]): CountenanceError {
  return new CountenanceError(
    'ERR_SHAPE_MISMATCH',
    `Nothing of ${what} fits the model: it holds states of an optimizer (${firstOf(names, 2)}), not ` +
      'weights',
  );
}

/** ERR_SHAPE_MISMATCH for tensors of other shapes. */
export function otherShapes(what: string, { source, mismatched }: Match): CountenanceError {
  const rest = mismatched.length - 4;
  return new CountenanceError(
    'ERR_SHAPE_MISMATCH',
    `${what} has the names of ${source}, but other shapes: ${listShapes(mismatched.slice(0, 4))}` +
      `${rest > 0 ? ` and ${rest} more` : ''}; ${takePartly}`,
  );
}

/** ERR_SHAPE_MISMATCH for weights that lack a part of the encoder. */
export function incomplete(
  what: string,
  lacking: readonly string[],
  needed: number,
  odd: readonly string[],
  why: string | undefined,
): CountenanceError {
  const because = why === undefined ? '' : ` (${why})`;
  const unexpected = odd.length > 0 ? `; not understood: ${firstOf(odd, 2)}` : '';
  return new CountenanceError(
    'ERR_SHAPE_MISMATCH',
    `Only ${needed - lacking.length} of the encoder's ${needed} tensors are in ${what}; missing: ` +
      `${firstOf(lacking, 2)}${because}${unexpected}; ${takePartly}`,
  );
}

/** The first of some names, and how many there are besides. */
function firstOf(names: readonly string[], count = 3): string {
  const shown = names.slice(0, count).map((name) => name.slice(0, 100));
  const rest = names.length - shown.length;
  return (shown.join(', ') || 'nothing') + (rest > 0 ? ` and ${rest} more` : '');
}
