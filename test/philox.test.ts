import assert from 'node:assert/strict';
import { permutation } from '../lib/data/permutation.js';
import { philox4x32, Random } from '../lib/philox.js';

describe('Philox4x32-10', () => {
  it('gives the known answers of the Random123 library', () => {
    const out = new Uint32Array(4);
    const ones = 0xffffffff;
    philox4x32(out, 0, 0, 0, 0, 0, 0);
    assert.deepEqual([...out], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    philox4x32(out, ones, ones, ones, ones, ones, ones);
    assert.deepEqual([...out], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    // The digits of pi.
    philox4x32(out, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0);
    assert.deepEqual([...out], [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
  });

  it('makes streams that depend on every coordinate and on 53 bits of the seed', () => {
    const first = (...args: ConstructorParameters<typeof Random>): number =>
      new Random(...args).uint32();
    const base = first(1, 2, 3, 4);
    assert.equal(first(1, 2, 3, 4), base);
    const others = [
      first(2, 2, 3, 4),
      first(1, 3, 3, 4),
      first(1, 2, 4, 4),
      first(1, 2, 3, 5),
      first(1 + 2 ** 32, 2, 3, 4),
    ];
    assert.equal(new Set([base, ...others]).size, 6);
  });

  it('has the moments of its distributions', () => {
    const random = new Random(7, 1);
    const count = 100_000;
    let sum = 0;
    let squares = 0;
    let uniform = 0;
    for (let i = 0; i < count; i++) {
      const value = random.normal();
      sum += value;
      squares += value * value;
      uniform += random.uniform();
    }
    // Five standard errors of each mean.
    assert.ok(Math.abs(sum / count) < 5 / Math.sqrt(count));
    assert.ok(Math.abs(squares / count - 1) < 5 * Math.sqrt(2 / count));
    assert.ok(Math.abs(uniform / count - 0.5) < 5 * Math.sqrt(1 / 12 / count));
  });
});

describe('permutation', () => {
  it('holds every index once, and follows seed and epoch', async () => {
    for (const count of [0, 1, 2, 1000, 70_000]) {
      const order = await permutation(count, 5, 1, 0);
      assert.deepEqual(
        order.slice().sort(),
        Uint32Array.from({ length: count }, (_, i) => i),
      );
    }
    const order = await permutation(1000, 5, 1, 0);
    assert.deepEqual(await permutation(1000, 5, 1, 0), order);
    assert.notDeepEqual(await permutation(1000, 5, 1, 1), order);
    assert.notDeepEqual(await permutation(1000, 6, 1, 0), order);
  });

  it('puts every item everywhere equally often', async () => {
    const counts = new Float64Array(16);
    const rounds = 4000;
    for (let epoch = 0; epoch < rounds; epoch++) {
      const order = await permutation(4, 0, 1, epoch);
      order.forEach((item, place) => (counts[place * 4 + item]! += 1));
    }
    const expected = rounds / 4;
    const chiSquared = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    // 9 degrees of freedom: 33.7 is exceeded by chance once in 10,000 seeds.
    assert.ok(chiSquared < 33.7, String(chiSquared));
  });
});
