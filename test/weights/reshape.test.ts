import assert from 'node:assert/strict';
import { findReshape } from '../../lib/weights/reshape.js';
import { Random } from '../../lib/philox.js';
import { findPython, runPython } from './support.js';

const table = 'encoder.layers.0.blocks.0.attn.relative_position_bias_table';
const patch = 'encoder.patch_embed.proj.weight';

function noise(count: number): Float32Array {
  const random = new Random(7, 0);
  return Float32Array.from({ length: count }, () => random.below(2001) / 1000 - 1);
}

function apply(name: string, from: number[], to: number[], values: Float32Array): Float32Array {
  const reshape = findReshape(name, from, to);
  assert.ok(reshape, `${name}: [${from.join()}] to [${to.join()}]`);
  return reshape.apply(values);
}

/** The output of a convolution whose stride equals its side, for one patch. */
function answer(kernel: Float32Array, patch: Float32Array): number {
  return kernel.reduce((sum, weight, i) => sum + weight * patch[i]!, 0);
}

describe('reshaped weights', function () {
  this.timeout(120_000);

  it("gives the numbers of PyTorch's bicubic filter", () => {
    // torch.nn.functional.interpolate(table, size, mode='bicubic', align_corners=False), PyTorch 1.13
    const four = Float32Array.of(0, 1, 0, 2, 3, -1, 4, 0, 0, 5, 1, -2, 2, 0, -3, 1);
    const three = [
      ...[0.5004435777664185, 0.5241608023643494, 1.5870273113250732],
      ...[1.675600528717041, 3.272461175918579, -0.7747035026550293],
      ...[1.5977394580841064, -1.1892368793487549, 0.04505331814289093],
    ];
    const resized = apply(table, [16, 1], [9, 1], four);
    three.forEach((value, i) => assert.ok(Math.abs(value - resized[i]!) < 2e-6, String(i)));

    const corner = Float32Array.of(0, 1, 0, 3, -1, 4, 0, 5, 1);
    const five = apply(table, [9, 1], [25, 1], corner);
    assert.ok(Math.abs(five[0]! - -0.4300798177719116) < 2e-6);
    assert.ok(Math.abs(five[13]! - 1.7720009088516235) < 2e-6);
    assert.ok(Math.abs(five[24]! - 0.245056614279747) < 2e-6);
  });

  it('resizes each head by itself, and keeps what is constant', () => {
    const values = noise(23 * 23 * 2);
    const [first, second] = [0, 1].map((head) => values.filter((_, i) => i % 2 === head));
    const both = apply(table, [23 * 23, 2], [13 * 13, 2], values);
    const alone = [first!, second!].map((one) => apply(table, [23 * 23, 1], [13 * 13, 1], one));
    assert.ok(both.every((value, i) => value === alone[i % 2]![i >> 1]));
    const constant = apply(table, [23 * 23, 1], [13 * 13, 1], new Float32Array(23 * 23).fill(3));
    assert.ok(constant.every((value) => Math.abs(value - 3) < 1e-5));
  });

  it("resizes tables as PyTorch's bicubic filter does", function () {
    const python = findPython('torch');
    if (!('path' in python)) {
      console.log(`      skipped: ${python.missing}`);
      return this.skip();
    }
    const [n, m, heads] = [23, 13, 3];
    const values = noise(n * n * heads);
    const script = `
import json, torch
t = torch.tensor(${JSON.stringify([...values])}).view(${n * n}, ${heads}).t()
t = t.reshape(1, ${heads}, ${n}, ${n})
r = torch.nn.functional.interpolate(t, size=(${m}, ${m}), mode='bicubic', align_corners=False)
print(json.dumps(r.view(${heads}, ${m * m}).t().flatten().tolist()))`;
    const expected = JSON.parse(runPython(python.path, script)) as number[];
    const resized = apply(table, [n * n, heads], [m * m, heads], values);
    // Their sums run in another order: a few units in the last place of values up to 2.
    expected.forEach((value, i) => assert.ok(Math.abs(value - resized[i]!) < 2e-6, String(i)));
  });

  it('answers to a small patch as to the same patch enlarged', () => {
    const kernels = noise(2 * 3 * 16);
    const small = apply(patch, [2, 3, 4, 4], [2, 3, 2, 2], kernels);
    assert.equal(small.length, 2 * 3 * 4);
    const pixels = noise(4);
    const enlarged = Float32Array.from({ length: 16 }, (_, i) => {
      const [x, y] = [i % 4, Math.floor(i / 4)];
      return pixels[2 * Math.floor(y / 2) + Math.floor(x / 2)]!;
    });
    for (let k = 0; k < 6; k++) {
      const here = answer(small.subarray(4 * k, 4 * k + 4), pixels);
      const there = answer(kernels.subarray(16 * k, 16 * k + 16), enlarged);
      assert.ok(Math.abs(here - there) < 1e-5);
    }
  });

  it('answers to a large patch as to the same patch reduced', () => {
    const kernel = noise(4);
    const large = apply(patch, [1, 1, 2, 2], [1, 1, 4, 4], kernel);
    const pixels = noise(16);
    const reduced = Float32Array.from({ length: 4 }, (_, i) => {
      const [x, y] = [2 * (i % 2), 2 * Math.floor(i / 2)];
      const block = [pixels[4 * y + x]!, pixels[4 * y + x + 1]!, pixels[4 * y + x + 4]!];
      return (block[0]! + block[1]! + block[2]! + pixels[4 * y + x + 5]!) / 4;
    });
    assert.ok(Math.abs(answer(large, pixels) - answer(kernel, reduced)) < 1e-5);
  });

  it('leaves alone what it knows nothing about', () => {
    assert.equal(findReshape('encoder.conv1.weight', [64, 3, 3, 3], [64, 3, 7, 7]), undefined);
    assert.equal(findReshape(table, [169, 3], [169, 4]), undefined);
    assert.equal(findReshape(table, [170, 3], [169, 3]), undefined);
    assert.equal(findReshape(table, [0, 3], [169, 3]), undefined);
    assert.equal(findReshape(patch, [96, 3, 3, 3], [96, 3, 2, 2]), undefined);
    assert.equal(findReshape(patch, [96, 3, 4, 2], [96, 3, 2, 2]), undefined);
    assert.equal(findReshape(patch, [96, 1, 4, 4], [96, 3, 2, 2]), undefined);
    assert.equal(findReshape(patch, [96, 3, 0, 0], [96, 3, 2, 2]), undefined);
  });
});
