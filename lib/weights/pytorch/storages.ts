import { storedType, toFloat32 } from '../dtype.js';
import type { Fail, WeightTensor } from '../weights-file.js';
import { toRowMajor } from '../strided.js';
import { ForeignName } from './foreign.js';
import { findGlobal, markedType } from './globals.js';
import type { PickleHost } from './machine.js';
import { NumpyArray } from './numpy.js';
import type { Storage, StoredView } from './tensors.js';
import { PickleProblem, quote, toCount, Tuple, type Global } from './values.js';

/** Reads bytes [begin, end) of a storage into a new buffer. */
export type ReadStorage = (
  storage: Storage,
  begin: number,
  end: number,
  signal: AbortSignal | undefined,
) => Promise<Uint8Array>;

/** The content of a PyTorch file: the pickled object, and how its storages are read. */
export interface PyTorchContent {
  readonly root: unknown;
  /** Names outside the allow-list that the pickle mentions. */
  readonly foreignNames: ReadonlySet<string>;
  readonly readStorage: ReadStorage;
}

/** Maximum number of foreign names that are remembered for the report. */
const mostNames = 1000;

/** The storages that a pickle names. */
export class StorageTable implements PickleHost {
  /** Size in bytes by key; a storage may be named many times, always with the same size. */
  readonly byteLengths = new Map<string, number>();
  /** Element size in bytes by key. */
  readonly elementBytes = new Map<string, number>();

  /** Names outside the allow-list, in the order of the pickle; at most {@link mostNames}. */
  readonly foreignNames = new Set<string>();

  readonly findGlobal = (module: string, name: string): Global | ForeignName => {
    const found = findGlobal(module, name);
    if (found instanceof ForeignName && this.foreignNames.size < mostNames) {
      this.foreignNames.add(found.type);
    }
    return found;
  };

  /**
   * ('storage', type, key, location, elements[, view]): how PyTorch writes a storage. Legacy files write a
   * module's class as ('module', class, source file, source).
   */
  readonly loadPersistent = (id: unknown): Storage | ForeignName => {
    const [kind, typeMarker, key, , count, view] = id instanceof Tuple ? id.items : [];
    if (kind === 'module' && typeMarker instanceof ForeignName) return typeMarker;
    const type = markedType(typeMarker);
    if (kind !== 'storage' || !type || (typeof key !== 'string' && typeof key !== 'number')) {
      throw new PickleProblem('it refers to something that is not a storage', 'unsafe');
    }
    const name = String(key);
    const byteLength = toCount(count, 'storage size') * type.bytes;
    const known = this.byteLengths.get(name);
    if (known !== undefined && known !== byteLength) {
      throw new PickleProblem(`its storage ${quote(name)} has two different sizes`);
    }
    this.byteLengths.set(name, byteLength);
    this.elementBytes.set(name, type.bytes);
    return { key: name, type, ...viewRange(view, byteLength, type.bytes) };
  };
}

/** Legacy files: (key, offset, elements) of a view of the storage. */
function viewRange(
  view: unknown,
  byteLength: number,
  elementBytes: number,
): Pick<Storage, 'byteLength' | 'byteOffset'> {
  if (view === undefined || view === null) return { byteLength, byteOffset: 0 };
  const [, offset, count] = view instanceof Tuple ? view.items : [];
  const byteOffset = toCount(offset, 'view of a storage') * elementBytes;
  const viewed = toCount(count, 'view of a storage') * elementBytes;
  if (byteOffset + viewed > byteLength) throw new PickleProblem('a view leaves its storage');
  return { byteLength: viewed, byteOffset };
}

/** A tensor of a PyTorch file that reads its values on demand. */
export function lazyTensor(
  name: string,
  tensor: StoredView | NumpyArray,
  readStorage: ReadStorage,
  fail: Fail,
): WeightTensor {
  const { shape } = tensor;
  const isArray = tensor instanceof NumpyArray;
  const dtype = isArray ? tensor.type!.numeric!.dtype : tensor.type.dtype;
  const { strides } = tensor;
  const readSpan = async (signal: AbortSignal | undefined): Promise<Uint8Array> => {
    if (isArray) return tensor.bytes();
    const { storage, type, offset, span } = tensor;
    const begin = storage.byteOffset + offset * type.bytes;
    return readStorage(storage, begin, begin + span * type.bytes, signal);
  };
  return {
    shape,
    dtype,
    read: async (signal) => {
      const type = storedType(dtype, name, fail);
      const values = await toFloat32(await readSpan(signal), type);
      return toRowMajor(values, shape, strides);
    },
  };
}
