import { NumpyArray } from './numpy.js';
import { StoredView } from './tensors.js';
import { PickleProblem, quote, Tuple } from './values.js';

/** The content of a checkpoint, by its path. */
export interface Collected {
  readonly tensors: Map<string, StoredView | NumpyArray>;
  /** Strings, numbers and booleans, as text. */
  readonly metadata: Record<string, string>;
}

const limits = { depth: 64, tensors: 1 << 16, nameLength: 1024, metadata: 1000 } as const;

/**
 * Collects the tensors of nested dictionaries, lists and tuples, under their keys joined with dots. A
 * container that occurs again (shared or cyclic) is skipped: its tensors already have names.
 */
export function collect(root: unknown): Collected {
  const tensors: Collected['tensors'] = new Map();
  const metadata = new Map<string, string>();
  const seen = new Set<object>();

  function visit(value: unknown, path: string, depth: number): void {
    if (value instanceof StoredView || (value instanceof NumpyArray && value.type?.numeric)) {
      addTensor(path || 'tensor', value);
    } else if (value instanceof Map || value instanceof Tuple || Array.isArray(value)) {
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
    tensors.set(name, tensor);
  }

  function addMetadata(name: string, text: string): void {
    if (metadata.size < limits.metadata && text.length <= limits.nameLength) {
      metadata.set(name, text);
    }
  }

  visit(root, '', 0);
  return { tensors, metadata: Object.fromEntries(metadata) };
}

function entriesOf(
  value: ReadonlyMap<unknown, unknown> | Tuple | readonly unknown[],
): Iterable<[unknown, unknown]> {
  if (value instanceof Map) return value.entries();
  return (value instanceof Tuple ? value.items : (value as readonly unknown[])).entries();
}
