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

  it('says nothing of a prefix that is not there', () => {
    assert.match(initReport('w.pth', { ...report, prefix: '' }), /^w\.pth: Swin of timm\n/);
  });
});
