import { elementCount } from '../../types.js';
import { PickleProblem, toCount, toSizes } from './values.js';

/** An element type of PyTorch. */
export interface TorchType {
  /** Its name here: that of safetensors if there is one. */
  readonly dtype: string;
  /** Element size in bytes. */
  readonly bytes: number;
}

const type = (dtype: string, bytes: number): TorchType => ({ dtype, bytes });

/**
 * Types by PyTorch's names (`torch.float32`); those that only have a name here are rejected when they are
 * read.
 */
export const torchTypes: Readonly<Record<string, TorchType>> = {
  float64: type('F64', 8),
  double: type('F64', 8),
  float32: type('F32', 4),
  float: type('F32', 4),
  float16: type('F16', 2),
  half: type('F16', 2),
  bfloat16: type('BF16', 2),
  float8_e4m3fn: type('F8_E4M3', 1),
  float8_e5m2: type('F8_E5M2', 1),
  float8_e4m3fnuz: type('F8_E4M3FNUZ', 1),
  float8_e5m2fnuz: type('F8_E5M2FNUZ', 1),
  float8_e8m0fnu: type('F8_E8M0', 1),
  int64: type('I64', 8),
  long: type('I64', 8),
  int32: type('I32', 4),
  int: type('I32', 4),
  int16: type('I16', 2),
  short: type('I16', 2),
  int8: type('I8', 1),
  uint8: type('U8', 1),
  uint16: type('U16', 2),
  uint32: type('U32', 4),
  uint64: type('U64', 8),
  bool: type('BOOL', 1),
  complex32: type('C32', 4),
  complex64: type('C64', 8),
  complex128: type('C128', 16),
  qint8: type('QI8', 1),
  quint8: type('QU8', 1),
  qint32: type('QI32', 4),
};

/** Storage classes of the module `torch` by the type they hold. */
export const storageTypes: Readonly<Record<string, TorchType>> = {
  DoubleStorage: torchTypes['float64']!,
  FloatStorage: torchTypes['float32']!,
  HalfStorage: torchTypes['float16']!,
  BFloat16Storage: torchTypes['bfloat16']!,
  LongStorage: torchTypes['int64']!,
  IntStorage: torchTypes['int32']!,
  ShortStorage: torchTypes['int16']!,
  CharStorage: torchTypes['int8']!,
  ByteStorage: torchTypes['uint8']!,
  BoolStorage: torchTypes['bool']!,
  ComplexFloatStorage: torchTypes['complex64']!,
  ComplexDoubleStorage: torchTypes['complex128']!,
  QInt8Storage: torchTypes['qint8']!,
  QUInt8Storage: torchTypes['quint8']!,
  QInt32Storage: torchTypes['qint32']!,
};

/** A storage without a type; its elements are bytes. */
export const untyped = type('bytes', 1);

/** A piece of memory that tensors are views of; its bytes are in the file under `key`. */
export interface Storage {
  readonly key: string;
  readonly type: TorchType;
  /** Size of the whole storage in bytes. */
  readonly byteLength: number;
  /** Legacy files: offset in bytes of a view into another storage. */
  readonly byteOffset: number;
}

/** Maximum number of elements of a tensor that repeats its memory (stride 0). */
const largestExpansion = 1 << 24;

/** A view of a storage: element (i, j, ..) is at offset + i strides[0] + j strides[1] + .. */
export class StoredView {
  /** Elements of the storage from the first to the last that the view touches. */
  readonly span: number;

  constructor(
    readonly storage: Storage,
    readonly type: TorchType,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {
    if (shape.length !== strides.length) {
      throw new PickleProblem('a tensor has different numbers of sizes and strides');
    }
    const count = elementCount(shape);
    this.span =
      count === 0 ? 0 : shape.reduce((last, size, i) => last + (size - 1) * strides[i]!, 0) + 1;
    const bytes = (offset + this.span) * type.bytes;
    if (!(bytes <= storage.byteLength)) {
      const need = `a tensor of shape [${shape.join(', ')}] needs ${bytes} bytes`;
      throw new PickleProblem(`${need} of a storage of ${storage.byteLength}`);
    }
    if (count > this.span && count > largestExpansion) {
      throw new PickleProblem(
        `a tensor repeats ${this.span} values to ${count}, more than the limit of ${largestExpansion}`,
      );
    }
  }
}

/** A tensor from the arguments that PyTorch's rebuild functions share. */
export function viewOf(
  storage: unknown,
  type: TorchType | undefined,
  offset: unknown,
  shape: unknown,
  strides: unknown,
): StoredView {
  if (!isStorage(storage))
    throw new PickleProblem('a tensor is a view of something that is not a storage');
  return new StoredView(
    storage,
    type ?? storage.type,
    toCount(offset, 'storage offset'),
    toSizes(shape, 'shape'),
    toSizes(strides, 'strides'),
  );
}

/** True for memory that tensors are views of. */
export function isStorage(value: unknown): value is Storage {
  return typeof value === 'object' && value !== null && 'byteLength' in value && 'key' in value;
}
