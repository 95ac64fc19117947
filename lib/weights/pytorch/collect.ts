import type { PythonObject } from '../weights-file.js';
import { ForeignObject, isForeign, type ForeignName } from './foreign.js';
import { NumpyArray } from './numpy.js';
import { isStorage, StoredView } from './tensors.js';
import { PickleProblem, quote, Tuple } from './values.js';

/** The content of a checkpoint, by its path. */
export interface Collected {
  readonly tensors: Map<string, StoredView | NumpyArray>;
  /** Strings, numbers and booleans, as text. */
  readonly metadata: Record<string, string>;
  /** Objects of names outside the allow-list. */
  readonly notRebuilt: readonly PythonObject[];
}

const limits = {
  depth: 64,
  tensors: 1 << 16,
  nameLength: 1024,
  metadata: 1000,
  objects: 1000,
} as const;

/** A foreign value, at the path where it is met. */
interface Found {
  readonly path: string;
  readonly value: ForeignName | ForeignObject;
}

/**
 * Collects the tensors of nested dictionaries, lists and tuples, under their keys joined with dots. A
 * container that occurs again (shared or cyclic) is skipped: its tensors already have names.
 *
 * @param foreignNames all names outside the allow-list that the pickle mentions
 */
export function collect(root: unknown, foreignNames: Iterable<string>): Collected {
  const tensors: Collected['tensors'] = new Map();
  const metadata = new Map<string, string>();
  const foreign: Found[] = [];
  const seen = new Set<unknown>();

  function visit(value: unknown, path: string, depth: number): void {
    if (isTensor(value)) {
      addTensor(path || 'tensor', value);
    } else if (isForeign(value)) {
      foreign.push({ path, value });
    } else if (isContainer(value)) {
      if (seen.has(value)) return;
      seen.add(value);
      if (depth >= limits.depth) {
        throw new PickleProblem(`it nests more than ${limits.depth} dictionaries`);
      }
      for (const [key, item] of entriesOf(value)) visitItem(key, item, path, depth);
    } else if (['string', 'number', 'boolean'].includes(typeof value)) {
      addMetadata(path, String(value));
    }
  }

  function visitItem(key: unknown, item: unknown, path: string, depth: number): void {
    // What stands under an object (a member of an enum) has no name without it.
    if (isForeign(key)) foreign.push({ path, value: new ForeignObject(key.type, [key, item]) });
    if (typeof key !== 'string' && typeof key !== 'number') return;
    const name = path === '' ? String(key) : `${path}.${key}`;
    if (name.length <= limits.nameLength) visit(item, name, depth + 1);
    else throw new PickleProblem(`it has a name of more than ${limits.nameLength} characters`);
  }

  function addTensor(name: string, tensor: StoredView | NumpyArray): void {
    if (tensors.has(name)) throw new PickleProblem(`it has two tensors called ${quote(name)}`);
    if (tensors.size >= limits.tensors) {
      throw new PickleProblem(`it has more than ${limits.tensors} tensors`);
    }
    seen.add(tensor);
    tensors.set(name, tensor);
  }

  function addMetadata(name: string, text: string): void {
    if (metadata.size < limits.metadata && text.length <= limits.nameLength) {
      metadata.set(name, text);
    }
  }

  visit(root, '', 0);
  const notRebuilt = describeForeign(foreign, seen, foreignNames);
  return { tensors, metadata: Object.fromEntries(metadata), notRebuilt };
}

/**
 * What depends on foreign names: each object with the tensors that are nowhere else. Comes after everything
 * else was visited, so that a tensor which is also outside an object does not count.
 */
function describeForeign(
  found: readonly Found[],
  seen: Set<unknown>,
  foreignNames: Iterable<string>,
): PythonObject[] {
  const left = new Set(foreignNames);
  const objects: PythonObject[] = [];
  let room: number = limits.tensors;
  for (const { path, value } of found) {
    const isKnown = seen.has(value);
    const inside = isKnown ? [] : tensorsInside(path, value, seen, left, room);
    room -= inside.length;
    const isWorthIt = inside.length > 0 || (!isKnown && objects.length < limits.objects);
    if (isWorthIt) objects.push({ name: path, type: value.type, tensors: inside });
  }
  // Names whose result was thrown away, or that were only arguments of something else.
  for (const type of left) {
    if (objects.length < limits.objects) objects.push({ name: '', type, tensors: [] });
  }
  return objects;
}

/** Names of the tensors in an object. Without recursion: modules in modules nest deeply. */
function tensorsInside(
  start: string,
  value: ForeignName | ForeignObject,
  seen: Set<unknown>,
  left: Set<string>,
  most: number,
): string[] {
  const names = new Set<string>();
  const queue: [path: string, item: unknown][] = [[start, value]];
  for (const [path, item] of queue) {
    if (isForeign(item)) left.delete(item.type);
    if (typeof item !== 'object' || item === null || seen.has(item)) continue;
    seen.add(item);
    if (isTensor(item) || isStorage(item)) {
      if (names.size < most) names.add(path || 'tensor');
    } else if (item instanceof ForeignObject) {
      for (const part of item.given) queue.push([path, part]);
    } else if (item instanceof Map) {
      for (const [key, inner] of item as Map<unknown, unknown>) {
        queue.push([path, key], [joined(path, key), inner]);
      }
    } else if (isContainer(item)) {
      for (const [, inner] of entriesOf(item)) queue.push([path, inner]);
    }
  }
  return [...names];
}

function joined(path: string, key: unknown): string {
  if (typeof key !== 'string' && typeof key !== 'number') return path;
  const name = path === '' ? String(key) : `${path}.${key}`;
  return name.length <= limits.nameLength ? name : path;
}

function isTensor(value: unknown): value is StoredView | NumpyArray {
  return (
    value instanceof StoredView ||
    (value instanceof NumpyArray && value.type?.numeric !== undefined)
  );
}

type Container = ReadonlyMap<unknown, unknown> | Tuple | readonly unknown[];

function isContainer(value: unknown): value is Container {
  return value instanceof Map || value instanceof Tuple || Array.isArray(value);
}

function entriesOf(value: Container): Iterable<[unknown, unknown]> {
  if (value instanceof Map) return value.entries();
  return (value instanceof Tuple ? value.items : (value as readonly unknown[])).entries();
}
