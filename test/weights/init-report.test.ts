import assert from 'node:assert/strict';
import { initReport } from '../../lib/cli/init-report.js';

describe('report of --init', () => {
  const report = {
    format: 'pytorch',
    source: 'Swin of timm',
    prefix: 'model.',
    matched: ['a', 'b', 'c', 'd'],
    reshaped: [{ name: 'b', from: [225, 3], to: [169, 3], how: 'bicubic' }],
    missing: ['MLP.fc1.bias'],
    mismatched: [{ name: 'e', expected: [2, 2], received: [3] }],
    unexpected: [],
    ignored: ['bn.num_batches_tracked', 'head.weight'],
    others: [],
    notRebuilt: [],
    absent: [],
    beside: [],
  } as const;

  it('has a line for each kind that there is', () => {
    assert.equal(
      initReport('w.pth', report),
      [
        "w.pth: Swin of timm, under 'model.'",
        '  matched        4  a, b, c, and 1 more',
        '  reshaped       1  b [225, 3] to [169, 3] (bicubic)',
        '  missing        1  MLP.fc1.bias',
        '  other shape    1  e [3] to [2, 2]',
        '  ignored        2  head.weight, bn.num_batches_tracked',
      ].join('\n'),
    );
  });

  it('says what was read of a directory, what was not, and how to take the other', () => {
    const text = initReport('hub', {
      ...report,
      file: 'hub/model.safetensors.index.json',
      beside: ['hub/model.safetensors', 'hub/my model.bin'],
      others: [
        { source: 'Swin of timm', prefix: 'ema model.', matched: 4 },
        { source: 'Swin of timm', prefix: '', matched: 3 },
      ],
      absent: ['norm.bias'],
      notRebuilt: [
        { name: 'recorder', type: '__main__.RecorderMeter', tensors: [] },
        { name: '', type: 'os.system', tensors: [] },
      ],
    });
    const lines = text.split('\n');
    assert.equal(lines[0], "hub/model.safetensors.index.json: Swin of timm, under 'model.'");
    assert.deepEqual(lines.slice(6), [
      '  in no shard    1  norm.bias',
      '  not rebuilt    2  recorder (__main__.RecorderMeter), os.system',
      "  other copy     4  under 'ema model.', taken with --init-prefix 'ema model.'",
      "  other copy     3  without a prefix, taken with --init-prefix ''",
      '  not read       1  hub/model.safetensors, taken with --init hub/model.safetensors',
      "  not read       1  hub/my model.bin, taken with --init 'hub/my model.bin'",
    ]);
  });

  it('says nothing of a prefix that is not there', () => {
    assert.match(initReport('w.pth', { ...report, prefix: '' }), /^w\.pth: Swin of timm\n/);
  });
});
