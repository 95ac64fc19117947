import { nextTurn } from '../../turns.js';
import { findReshape, type Reshape } from '../reshape.js';
import { compile, prefixesOf, type NameMap } from './name-map.js';
import { sources } from './sources.js';

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
}

/** Maximum number of tensors in a file, and of prefixes under which a family is searched for. */
const limits = { tensors: 1 << 16, prefixes: 16 } as const;

/**
 * Finds the family and the prefix under which most tensors of the model are in a file.
 *
 * @param shapes shapes by name in the file
 * @returns the best match, and the families that the file looks like, whether they fit or not
 */
export async function matchNames(
  shapes: ReadonlyMap<string, readonly number[]>,
  model: readonly NamedShape[],
): Promise<{ readonly best: Match | undefined; readonly seen: readonly string[] }> {
  if (shapes.size > limits.tensors) return { best: undefined, seen: [] };
  const seen: string[] = [];
  let best: Match | undefined;
  for (const map of sources) {
    for (const prefix of prefixesOf(map, shapes.keys(), limits.prefixes)) {
      if (map.anchor !== '') seen.push(`${map.title}${prefix && ` under '${prefix}'`}`);
      const match = matchFamily(map, prefix, shapes, model);
      if (match.assignments.length > (best?.assignments.length ?? 0)) best = match;
      await nextTurn();
    }
  }
  return { best, seen };
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
  const wanted = new Map(model.map(({ name, shape }) => [name, shape.join()]));
  const found = new Map<string, Pieces>(model.map(({ name }) => [name, []]));
  const unexpected: string[] = [];
  const ignored: string[] = [];
  for (const [name, shape] of shapes) {
    const translated = name.startsWith(prefix) ? translate(name.slice(prefix.length)) : null;
    const isUseless = translated?.part.optional && wanted.get(translated.name) !== shape.join();
    const destination = isUseless ? null : translated;
    const pieces = destination && found.get(destination.name);
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
    const pieces = found.get(name)!;
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
  return { source: map.title, prefix, assignments, missing, mismatched, unexpected, ignored };
}

/** Shape of pieces joined along the first dimension; that of the first if they cannot be joined. */
function joinedShape(shapes: readonly (readonly number[])[]): readonly number[] {
  const [first, ...others] = shapes as [readonly number[], ...(readonly number[])[]];
  const inner = first.slice(1).join();
  if (others.length === 0 || others.some((shape) => shape.slice(1).join() !== inner)) return first;
  const rows = shapes.reduce((sum, shape) => sum + (shape[0] ?? 0), 0);
  return [rows, ...first.slice(1)];
}
