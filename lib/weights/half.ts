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
