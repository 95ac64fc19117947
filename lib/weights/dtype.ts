import { endianness } from 'node:os';
import { inSlices } from '../turns.js';
import { smallFloatValues } from './small-floats.js';

/** Bytes per element of each type that is read; all are converted to float32. */
export const storedBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** Element types that are read, under safetensors' names. */
export type StoredType = keyof typeof storedBytes;

/** True if `dtype` is a type that is read. */
export function isStoredType(dtype: string): dtype is StoredType {
  return Object.hasOwn(storedBytes, dtype);
}

/**
 * The element type of a tensor, which must be one that is read.
 *
 * @param fail creates the file's error from a reason
 */
export function storedType(
  dtype: string,
  name: string,
  fail: (reason: string) => Error,
): StoredType {
  if (isStoredType(dtype)) return dtype;
  const known = Object.keys(storedBytes).join(', ');
  throw fail(`tensor '${name}' has dtype ${dtype}; supported are ${known}`);
}

/** Weight files are little-endian, as is every machine that Node runs on except s390x. */
export const machineIsLittleEndian = endianness() === 'LE';

/** Reverses the bytes of each element in place. */
export function swapBytes(bytes: Uint8Array, elementBytes: number): void {
  for (let start = 0; start < bytes.length; start += elementBytes) {
    bytes.subarray(start, start + elementBytes).reverse();
  }
}

/** The little-endian bytes of float32 values; the same memory on a little-endian machine. */
export function littleEndianBytes(data: Float32Array): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (machineIsLittleEndian) return bytes;
  const swapped = bytes.slice();
  swapBytes(swapped, 4);
  return swapped;
}

/** Types whose numbers a typed array converts. */
const typedArrays = {
  F64: Float64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

/**
 * Converts little-endian elements to float32, in slices so that the event loop keeps running. The result
 * takes over `bytes`: F32 is not copied.
 *
 * @param bytes the elements; its `byteOffset` must be a multiple of the element size
 */
export async function toFloat32(bytes: Uint8Array, type: StoredType): Promise<Float32Array> {
  const { byteOffset } = bytes;
  const buffer = bytes.buffer as ArrayBuffer;
  const count = bytes.byteLength / storedBytes[type];
  if (!machineIsLittleEndian) swapBytes(bytes, storedBytes[type]);
  if (type === 'F32') return new Float32Array(buffer, byteOffset, count);
  const result = new Float32Array(count);
  if (type === 'BF16') {
    // bfloat16 is the upper half of a float32.
    const bits = new Uint16Array(buffer, byteOffset, count);
    const words = new Uint32Array(result.buffer);
    await inSlices(count, (start, end) => {
      for (let i = start; i < end; i++) words[i] = bits[i]! << 16;
    });
  } else if (type === 'I64') {
    const values = new BigInt64Array(buffer, byteOffset, count);
    await inSlices(count, (start, end) => {
      for (let i = start; i < end; i++) result[i] = Number(values[i]);
    });
  } else if (type === 'F16' || type === 'F8_E4M3' || type === 'F8_E5M2') {
    const Bits = type === 'F16' ? Uint16Array : Uint8Array;
    const bits = new Bits(buffer, byteOffset, count);
    const table = smallFloatValues(type);
    await inSlices(count, (start, end) => {
      for (let i = start; i < end; i++) result[i] = table[bits[i]!]!;
    });
  } else {
    const values = new typedArrays[type](buffer, byteOffset, count);
    await inSlices(count, (start, end) => result.set(values.subarray(start, end), start));
  }
  return result;
}
