import { nextTurn } from '../../turns.js';
import { findReshape, type Reshape } from '../reshape.js';
import { compile, prefixesOf, type NameMap } from './name-map.js';
import { sources } from './sources.js';
import { withoutWrappers } from './wrappers.js';

/** Name and shape of a tensor. */
export interface NamedShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** A tensor whose shape is not the model's. */
export interface ShapeMismatch {
  readonly name: string;
  readonly expected: readonly number[];
  readonly received: readonly number[];
}

/** What a tensor of the model is made of. */
export interface Assignment extends NamedShape {
  /** Names in the file, joined along the first dimension. */
  readonly from: readonly string[];
  /** The change of shape that it needs. */
  readonly reshape: Reshape | undefined;
}

/** How the names of a file fit a model. */
export interface Match {
  /** Title of the family of names. */
  readonly source: string;
  /** The prefix of the names in the file. */
  readonly prefix: string;
  readonly assignments: readonly Assignment[];
  readonly missing: readonly string[];
  readonly mismatched: readonly ShapeMismatch[];
  /** Names in the file that should match a tensor of the model but do not. */
  readonly unexpected: readonly string[];
  /** Names in the file that are not needed: classifiers, buffers, names without the prefix. */
  readonly ignored: readonly string[];
  /** The model's name for any name in the file, if it has one. */
  readonly nameOf: (name: string) => string | undefined;
}

/** Another set of tensors in a file that fits the model as well, such as a moving average. */
export interface OtherCopy {
  readonly source: string;
  /** The prefix of its names. */
  readonly prefix: string;
  /** How many tensors of the model it has. */
  readonly matched: number;
}

/** The result of {@link matchNames}. */
export interface FoundNames {
  readonly best: Match | undefined;
  /** What else fits: other prefixes with at least half as many tensors. */
  readonly others: readonly OtherCopy[];
  /** The families that the file looks like, whether they fit or not. */
  readonly seen: readonly string[];
}

/** Maximum number of tensors in a file, and of prefixes under which a family is searched for. */
const limits = { tensors: 1 << 16, prefixes: 16 } as const;

/**
 * Finds the family and the prefix under which most tensors of the model are in a file.
 *
 * @param shapes shapes by name in the file
 * @param bareFirst names without any prefix are preferred, if they are at least half as many: the caller
 *   has said which prefix it wants, and has taken it off
 */
export async function matchNames(
  shapes: ReadonlyMap<string, readonly number[]>,
  model: readonly NamedShape[],
  bareFirst = false,
): Promise<FoundNames> {
  if (shapes.size > limits.tensors) return { best: undefined, others: [], seen: [] };
  const seen: string[] = [];
  const copies: (OtherCopy & { readonly first: string })[] = [];
  let best: Match | undefined;
  let bare: Match | undefined;
  for (const map of sources) {
    for (const prefix of prefixesOf(map, shapes.keys(), limits.prefixes)) {
      if (map.anchor !== '') seen.push(`${map.title}${prefix && ` under '${prefix}'`}`);
      const match = matchFamily(map, prefix, shapes, model);
      const matched = match.assignments.length;
      if (matched > countOf(best)) best = match;
      if (prefix === '' && matched > countOf(bare)) bare = match;
      const first = match.assignments[0]?.from[0];
      if (first !== undefined) copies.push({ source: map.title, prefix, matched, first });
      await nextTurn();
    }
  }
  if (bareFirst && bare && 2 * countOf(bare) >= countOf(best)) best = bare;
  return { best, others: best ? otherCopies(copies, best) : [], seen };
}

function countOf(match: Match | undefined): number {
  return match?.assignments.length ?? 0;
}

/** Those that consist of other tensors than the best match; of each prefix, the fullest. */
function otherCopies(
  copies: readonly (OtherCopy & { readonly first: string })[],
  best: Match,
): OtherCopy[] {
  const taken = new Set(best.assignments.flatMap(({ from }) => from));
  const fullest = new Map<string, OtherCopy>();
  for (const { first, ...copy } of copies) {
    if (taken.has(first) || 2 * copy.matched < countOf(best)) continue;
    if (copy.matched > (fullest.get(copy.prefix)?.matched ?? 0)) fullest.set(copy.prefix, copy);
  }
  return [...fullest.values()];
}

/** The pieces found for a tensor of the model; each piece is a name in the file. */
type Pieces = (string | undefined)[];

function matchFamily(
  map: NameMap,
  prefix: string,
  shapes: ReadonlyMap<string, readonly number[]>,
  model: readonly NamedShape[],
): Match {
  const translate = compile(map);
  const placeOf = (name: string): ReturnType<typeof translate> =>
    name.startsWith(prefix) ? translate(withoutWrappers(name.slice(prefix.length))) : null;
  const wanted = new Map(model.map(({ name, shape }) => [name, shape.join()]));
  const piecesOf = new Map<string, Pieces>(model.map(({ name }) => [name, []]));
  const unexpected: string[] = [];
  const ignored: string[] = [];
  for (const [name, shape] of shapes) {
    const translated = placeOf(name);
    const isUseless = translated?.part.optional && wanted.get(translated.name) !== shape.join();
    const destination = isUseless ? null : translated;
    const pieces = destination && piecesOf.get(destination.name);
    if (destination === null) ignored.push(name);
    else if (!pieces || pieces[destination.part.index] !== undefined) unexpected.push(name);
    else {
      pieces.length = destination.part.of;
      pieces[destination.part.index] = name;
    }
  }

  const assignments: Assignment[] = [];
  const missing: string[] = [];
  const mismatched: ShapeMismatch[] = [];
  for (const { name, shape } of model) {
    const pieces = piecesOf.get(name)!;
    const from = pieces.filter((piece) => piece !== undefined);
    if (from.length === 0 || from.length < pieces.length) {
      missing.push(name);
      unexpected.push(...from);
      continue;
    }
    const received = joinedShape(from.map((piece) => shapes.get(piece)!));
    const same = received.join() === shape.join();
    const reshape = same ? undefined : findReshape(name, received, shape);
    if (same || reshape) assignments.push({ name, shape: received, from, reshape });
    else mismatched.push({ name, expected: shape, received });
  }
  const nameOf = (name: string): string | undefined => placeOf(name)?.name;
  const found = { assignments, missing, mismatched, unexpected, ignored, nameOf };
  return { source: map.title, prefix, ...found };
}

/** Shape of pieces joined along the first dimension; that of the first if they cannot be joined. */
function joinedShape(shapes: readonly (readonly number[])[]): readonly number[] {
  const [first, ...others] = shapes as [readonly number[], ...(readonly number[])[]];
  const inner = first.slice(1).join();
  if (others.length === 0 || others.some((shape) => shape.slice(1).join() !== inner)) return first;
  const rows = shapes.reduce((sum, shape) => sum + (shape[0] ?? 0), 0);
  return [rows, ...first.slice(1)];
}
