import { setImmediate } from 'node:timers/promises';

/** Elements converted between two turns of the event loop: about 1 ms of work. */
const sliceLength = 1 << 18;

/**
 * Runs `convert(start, end)` over [0, count) in slices, letting the event loop run in between.
 */
export async function inSlices(
  count: number,
  convert: (start: number, end: number) => void,
  length: number = sliceLength,
): Promise<void> {
  for (let start = 0; start < count; start += length) {
    if (start > 0) await setImmediate();
    convert(start, Math.min(start + length, count));
  }
}

/** The float32 value of an IEEE half-precision number given by its 16 bits. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const halfTable: Float32Array = new Float32Array(0x10000);
let halfTableFilled = false;

/** float32 values of all 65,536 half-precision numbers, by their bits. */
export function halfValues(): Float32Array {
  if (!halfTableFilled) {
    for (let bits = 0; bits < halfTable.length; bits++) halfTable[bits] = halfToFloat(bits);
    halfTableFilled = true;
  }
  return halfTable;
}
