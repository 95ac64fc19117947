import { endianness } from 'node:os';
import { inSlices } from '../slices.js';
import { halfValues } from './half.js';

/** Element types this project reads; everything becomes float32. */
export type StoredType = 'F64' | 'F32' | 'F16' | 'BF16' | 'I64';

/** Bytes of one element. */
export const storedBytes: Readonly<Record<StoredType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
};

/** Weight files are little-endian and so is every machine Node runs on but s390x. */
export const machineIsLittleEndian = endianness() === 'LE';

/**
 * Converts little-endian elements to float32, in slices so that the event loop goes on.
 *
 * @param bytes the elements; its `byteOffset` must be a multiple of the element size
 */
export async function toFloat32(bytes: Uint8Array, type: StoredType): Promise<Float32Array> {
  const count = bytes.byteLength / storedBytes[type];
  if (type === 'F32') return new Float32Array(bytes.buffer, bytes.byteOffset, count);
  const result = new Float32Array(count);
  if (type === 'F16' || type === 'BF16') {
    const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
    if (type === 'F16') {
      const table = halfValues();
      await inSlices(count, (start, end) => {
        for (let i = start; i < end; i++) result[i] = table[bits[i]!]!;
      });
    } else {
      // bfloat16 is the upper half of a float32.
      const words = new Uint32Array(result.buffer);
      await inSlices(count, (start, end) => {
        for (let i = start; i < end; i++) words[i] = bits[i]! << 16;
      });
    }
  } else if (type === 'F64') {
    const values = new Float64Array(bytes.buffer, bytes.byteOffset, count);
    await inSlices(count, (start, end) => result.set(values.subarray(start, end), start));
  } else {
    const values = new BigInt64Array(bytes.buffer, bytes.byteOffset, count);
    await inSlices(count, (start, end) => {
      for (let i = start; i < end; i++) result[i] = Number(values[i]);
    });
  }
  return result;
}
