/**
 * Philox4x32-10, the counter-based random number generator of Salmon et al., "Parallel random numbers:
 * as easy as 1, 2, 3" (SC 2011): 128 random bits are a pure function of a 128-bit counter and a 64-bit
 * key, so item i of epoch e needs no state and no order.
 */

const multiplier0 = 0xd2511f53;
const multiplier1 = 0xcd9e8d57;
const weyl0 = 0x9e3779b9;
const weyl1 = 0xbb67ae85;

/** Upper 32 bits of the 64-bit product of two unsigned 32-bit integers, by 16-bit halves. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  // Every sum here stays below 2^32, so it is exact, and >>> and & keep all of its bits.
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const middleLow = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + (middleLow >>> 16)) >>> 0;
}

/**
 * One block: writes the four 32-bit outputs for counter (c0, c1, c2, c3) and key (k0, k1) to
 * `out[0..3]`.
 */
export function philox4x32(
  out: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
): void {
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(multiplier0, c0);
    const low0 = Math.imul(multiplier0, c0);
    const high1 = multiplyHigh(multiplier1, c2);
    const low1 = Math.imul(multiplier1, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + weyl0) >>> 0;
    k1 = (k1 + weyl1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** The purpose of a stream of random numbers: separates streams that share a seed. */
export const randomDomain = {
  shuffle: 1,
  split: 2,
  labelDraw: 3,
  textEmbeddings: 4,
  syntheticFace: 5,
  syntheticNoise: 6,
  sampling: 7,
} as const;

/**
 * A stream of random numbers for (seed, domain, a, b): equal arguments give equal numbers on every
 * machine.
 */
export class Random {
  private readonly block = new Uint32Array(4);
  private used = 4;
  private position = 0;
  private spareNormal: number | undefined;
  private readonly key0: number;
  private readonly key1: number;

  /**
   * @param seed an integer of at most 53 bits
   * @param domain one of {@link randomDomain}
   * @param a, b further coordinates (epoch, item, ...), unsigned 32-bit
   */
  constructor(
    seed: number,
    private readonly domain: number,
    private readonly a = 0,
    private readonly b = 0,
  ) {
    this.key0 = seed >>> 0;
    this.key1 = Math.floor(seed / 0x100000000) >>> 0;
  }

  /** The next unsigned 32-bit integer. */
  uint32(): number {
    if (this.used === 4) {
      philox4x32(this.block, this.position, this.domain, this.a, this.b, this.key0, this.key1);
      this.position += 1;
      this.used = 0;
    }
    return this.block[this.used++]!;
  }

  /** Uniform in [0, 1), a multiple of 2^-32. */
  uniform(): number {
    return this.uint32() / 0x100000000;
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** An integer in [0, count) for count up to 2^21 (exact product); bias below count / 2^32. */
  below(count: number): number {
    return Math.floor((this.uint32() * count) / 0x100000000);
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** One of the items, each equally likely. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** Standard normal, by the Box-Muller transform in double precision. */
  normal(): number {
    if (this.spareNormal !== undefined) {
      const spare = this.spareNormal;
      this.spareNormal = undefined;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log((this.uint32() + 1) / 0x100000000));
    const angle = 2 * Math.PI * this.uniform();
    this.spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}
