import assert from 'node:assert/strict';
import { leastSeconds, workOf, type Load, type LoadWork } from '../../bench/roofline.js';

const resnet: Load = {
  task: 'infer',
  backbone: 'resnet18',
  size: 224,
  batch: 1,
  precision: 'fp32',
};
const swin: Load = { ...resnet, backbone: 'swin-t', size: 112 };

// The neutral transformation: 512 x 128 and back.
const transformation = 2 * 512 * 128;

function operation({ operations }: LoadWork, name: string, pass: string) {
  const found = operations.find((o) => o.name === name && o.pass === pass);
  assert(found, `${name} ${pass}`);
  return { flops: found.flops, bytes: found.bytes };
}

describe('roofline', () => {
  it('counts the 1.81 G multiply-adds of ResNet-18 at 224', () => {
    const stem = 112 ** 2 * 64 * (7 * 7 * 3);
    const block = 56 ** 2 * 64 * (9 * 64); // a 3x3 convolution that keeps its shape: any stage's
    const strided = 28 ** 2 * 128 * (9 * 64);
    const shortcut = 28 ** 2 * 128 * 64;
    const expected = stem + 4 * block + 3 * (strided + 3 * block + shortcut);
    assert.equal(expected, 1_813_561_344);
    assert.equal(workOf(resnet).flops, 2 * (expected + transformation));
  });

  it('counts the multiply-adds that torchvision publishes of deeper ResNets at 224', () => {
    // `_ops` of the weights: 3.664 G and 4.089 G, with a 1000-class classifier in place of our layers.
    const ops = (backbone: Load['backbone'], head: number): number =>
      workOf({ ...resnet, backbone }).flops / 2 - head - transformation;
    assert.equal(ops('resnet34', 0) + 512 * 1000, 3_663_761_408);
    assert.equal(ops('resnet50', 2048 * 512) + 2048 * 1000, 4_089_184_256);
  });

  it('counts the 4.4 G multiply-adds of Swin-T', () => {
    let expected = 56 ** 2 * 96 * 3 * 2 ** 2;
    [2, 2, 6, 2].forEach((depth, i) => {
      const tokens = (56 / 2 ** i) ** 2;
      const channels = 96 * 2 ** i;
      expected += depth * tokens * (12 * channels ** 2 + 2 * 49 * channels);
      if (i < 3) expected += (tokens / 4) * 4 * channels * 2 * channels;
    });
    expected += 768 * 768 + 768 * 512 + transformation;
    const { flops } = workOf(swin);
    assert.equal(flops, 2 * expected);
    assert(flops > 2 * 4.2e9 && flops < 2 * 4.5e9, `${flops}`);
  });

  it('counts the parameters', () => {
    assert.equal(workOf(swin).parameters, 28_633_210);
    assert.equal(workOf(resnet).parameters, 11_176_512 + 2 * 512 * 128 + 128 + 512);
  });

  it('counts the same arithmetic for patches of 4 at 224, but for the patch embedding', () => {
    const extra = 2 * 56 ** 2 * 96 * 3 * (4 ** 2 - 2 ** 2);
    assert.equal(workOf({ ...swin, size: 224 }).flops, workOf(swin).flops + extra);
    // Patches of 2 at 224 have four times the tokens.
    const attention = (load: Load) =>
      operation(workOf(load), 'encoder.layers.0.blocks.0.attn', 'forward');
    const finer = attention({ ...swin, size: 224, patchSize: 2 });
    assert.equal(finer.flops, 4 * attention(swin).flops);
  });

  it('trains with three times the arithmetic of the forward pass, but for the first layer', () => {
    const stem = 2 * 112 ** 2 * 64 * (7 * 7 * 3);
    const forward = workOf(resnet).flops;
    assert.equal(workOf({ ...resnet, task: 'train' }).flops, 3 * forward - stem);
  });

  it('moves each tensor of a convolution once', () => {
    const x = 64 * 56 ** 2 * 64; // elements, batch 64
    const weights = 64 * 64 * 9;
    const load: Load = { ...resnet, batch: 64, precision: 'bf16', task: 'train' };
    const work = workOf(load);
    const flops = 2 * x * 64 * 9;
    const conv = (name: string, pass: string) => operation(work, `encoder.layer1.0.${name}`, pass);
    assert.deepEqual(conv('conv2', 'forward'), { flops, bytes: 2 * (2 * x + weights) });
    assert.deepEqual(conv('conv2.dx', 'backward'), { flops, bytes: 2 * (2 * x + weights) });
    assert.deepEqual(conv('conv2.dweight', 'backward'), { flops, bytes: 4 * x + 4 * weights });
    // x, the residual and y; dy, x, y, dx and the residual's gradient.
    assert.deepEqual(conv('bn2', 'forward'), { flops: 0, bytes: 2 * 3 * x });
    assert.deepEqual(conv('bn2', 'backward'), { flops: 0, bytes: 2 * 5 * x });
    // In evaluation mode the norm and the residual belong to the convolution.
    const folded = operation(
      workOf({ ...load, task: 'infer' }),
      'encoder.layer1.0.conv2',
      'forward',
    );
    assert.deepEqual(folded, { flops, bytes: 2 * (3 * x + weights) });
  });

  it('moves the weights, their gradients and velocities in an update', () => {
    const update = (precision: Load['precision']) =>
      operation(workOf({ ...resnet, task: 'train', precision }), 'sgd', 'update').bytes;
    const { parameters } = workOf(resnet);
    const matrices = parameters - 2 * 4800 - 128 - 512; // 4,800 channels are normalised
    assert.equal(update('fp32'), 20 * parameters);
    assert.equal(update('bf16'), 20 * parameters + 2 * matrices);
  });

  it('moves queries, keys, values and results of the attention once, never its scores', () => {
    const x = 8 * 56 ** 2 * 96;
    const rows = 8 * 56 ** 2 * 3;
    const work = workOf({ ...swin, task: 'train', batch: 8 });
    const at = (pass: string) => operation(work, 'encoder.layers.0.blocks.1.attn', pass);
    assert.deepEqual(at('forward'), { flops: 2 * 2 * x * 49, bytes: 4 * 4 * x + 4 * rows });
    assert.deepEqual(at('backward'), { flops: 5 * 2 * x * 49, bytes: 7 * 4 * x + 4 * rows });
  });

  it('bounds the time of each operation by arithmetic or by memory', () => {
    const work: LoadWork = {
      operations: [
        { name: 'product', pass: 'forward', flops: 3000, bytes: 10 },
        { name: 'copy', pass: 'forward', flops: 0, bytes: 50 },
      ],
      parameters: 0,
      flops: 3000,
      bytes: 60,
    };
    assert.equal(leastSeconds(work, { flopsPerSecond: 1000, bytesPerSecond: 10 }), 3 + 5);
  });

  it('refuses a grid that Swin-T cannot halve into windows', () => {
    const expected = { code: 'ERR_INVALID_ARGUMENT' };
    assert.throws(() => workOf({ ...swin, size: 100 }), expected);
    assert.throws(() => workOf({ ...swin, size: 112, patchSize: 4 }), expected);
  });
});
