/** Float types of 8 and 16 bits that are decoded with a table of all their values. */
export type SmallFloat = 'F16' | 'F8_E4M3' | 'F8_E5M2';

interface Layout {
  readonly bits: 8 | 16;
  readonly fractionBits: number;
  readonly bias: number;
  /** False: the highest exponent encodes numbers too, and only an all-ones fraction is NaN. */
  readonly hasInfinity: boolean;
}

/** IEEE half precision, and the two 8-bit types of https://arxiv.org/abs/2209.05433, table 1. */
const layouts: Readonly<Record<SmallFloat, Layout>> = {
  F16: { bits: 16, fractionBits: 10, bias: 15, hasInfinity: true },
  F8_E4M3: { bits: 8, fractionBits: 3, bias: 7, hasInfinity: false },
  F8_E5M2: { bits: 8, fractionBits: 2, bias: 15, hasInfinity: true },
};

/** The float32 value of a small float given by its bits. */
export function decodeSmallFloat(value: number, type: SmallFloat): number {
  const { bits, fractionBits, bias, hasInfinity } = layouts[type];
  const sign = value & (1 << (bits - 1)) ? -1 : 1;
  const highest = (1 << (bits - 1 - fractionBits)) - 1;
  const scale = 1 << fractionBits;
  const exponent = (value >> fractionBits) & highest;
  const fraction = value & (scale - 1);
  if (exponent === 0) return (sign * fraction * 2 ** (1 - bias)) / scale;
  if (exponent === highest && hasInfinity) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === highest && fraction === scale - 1) return NaN;
  return sign * (1 + fraction / scale) * 2 ** (exponent - bias);
}

const tables = new Map<SmallFloat, Float32Array>();

/** float32 values of all numbers of a type, indexed by their bits. */
export function smallFloatValues(type: SmallFloat): Float32Array {
  let table = tables.get(type);
  if (!table) {
    table = Float32Array.from({ length: 1 << layouts[type].bits }, (_, value) =>
      decodeSmallFloat(value, type),
    );
    tables.set(type, table);
  }
  return table;
}
