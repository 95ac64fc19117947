import { elementCount } from '../../types.js';
import { storedBytes, type StoredType } from '../dtype.js';
import { decodeSmallFloat } from '../small-floats.js';
import { isForeign } from './foreign.js';
import { PickleProblem, quote, toSizes, Tuple } from './values.js';

/** A numeric type: its name here, and how a scalar of it is read. */
interface NumericType {
  readonly dtype: StoredType;
  readonly read: (view: DataView) => number | boolean;
}

const numericTypes: Readonly<Record<string, NumericType>> = {
  f8: { dtype: 'F64', read: (view) => view.getFloat64(0, true) },
  f4: { dtype: 'F32', read: (view) => view.getFloat32(0, true) },
  f2: { dtype: 'F16', read: (view) => decodeSmallFloat(view.getUint16(0, true), 'F16') },
  i8: { dtype: 'I64', read: (view) => Number(view.getBigInt64(0, true)) },
  i4: { dtype: 'I32', read: (view) => view.getInt32(0, true) },
  i2: { dtype: 'I16', read: (view) => view.getInt16(0, true) },
  i1: { dtype: 'I8', read: (view) => view.getInt8(0) },
  u1: { dtype: 'U8', read: (view) => view.getUint8(0) },
  b1: { dtype: 'BOOL', read: (view) => view.getUint8(0) !== 0 },
};

/** numpy.dtype: `f8`, with `<` set by its state. */
export class NumpyType {
  private bigEndian = false;

  constructor(readonly name: string) {}

  /** State (version, byte order, ...). */
  setState(state: unknown): void {
    this.bigEndian = state instanceof Tuple && state.items[1] === '>';
  }

  /** The numeric type, or undefined for strings, records, objects and big-endian numbers. */
  get numeric(): NumericType | undefined {
    const name = this.name.replace(/^[<|=]/, '');
    return this.bigEndian || !Object.hasOwn(numericTypes, name) ? undefined : numericTypes[name];
  }
}

/** numpy.ndarray, whose content comes with its state. */
export class NumpyArray {
  shape: readonly number[] = [];
  type: NumpyType | undefined;
  fortranOrder = false;
  /** The elements; as text if Python 2 wrote them. */
  private content: Uint8Array | string = '';

  /** State (version, shape, dtype, is Fortran, bytes). */
  setState(state: unknown): void {
    const [, shape, type, fortran, content] = state instanceof Tuple ? state.items : [];
    if (isForeign(type)) return; // its elements have no meaning here
    if (!(type instanceof NumpyType)) throw new PickleProblem('a NumPy array has no dtype');
    this.fill(toSizes(shape, 'shape'), type, content, fortran === true);
  }

  fill(shape: readonly number[], type: NumpyType, content: unknown, fortranOrder: boolean): this {
    this.shape = shape;
    this.type = type;
    this.fortranOrder = fortranOrder;
    if (!type.numeric) return this; // strings and objects: not needed, and never decoded
    if (!isBytes(content)) throw new PickleProblem('a NumPy array has no bytes');
    const needed = elementCount(shape) * storedBytes[type.numeric.dtype];
    if (content.length !== needed) {
      throw new PickleProblem(
        `a NumPy array needs ${needed} bytes but has ${content.length} of ${quote(type.name)}`,
      );
    }
    this.content = content;
    return this;
  }

  /** A copy of the elements in memory order; in Fortran order the first index runs fastest. */
  bytes(): Uint8Array {
    return copyBytes(this.content);
  }

  /** Stride of each dimension, in elements. */
  get strides(): number[] {
    const { shape, fortranOrder } = this;
    const before = (i: number): readonly number[] =>
      fortranOrder ? shape.slice(0, i) : shape.slice(i + 1);
    return shape.map((_, i) => elementCount(before(i)));
  }
}

/** The number in a NumPy scalar; other scalars stay bytes. */
export function numpyScalar(type: unknown, content: unknown): unknown {
  const numeric = type instanceof NumpyType ? type.numeric : undefined;
  if (!numeric) return content;
  if (!isBytes(content) || content.length !== storedBytes[numeric.dtype]) {
    throw new PickleProblem('a NumPy scalar has a wrong length');
  }
  return numeric.read(new DataView(copyBytes(content).buffer));
}

/** Bytes as Python 3 stores them, or as text, as Python 2 stored them. */
function isBytes(content: unknown): content is Uint8Array | string {
  return content instanceof Uint8Array || typeof content === 'string';
}

function copyBytes(content: Uint8Array | string): Uint8Array<ArrayBuffer> {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  return new Uint8Array(bytes); // a new buffer, so that elements are aligned
}
