import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { description } from '../../lib/description.js';
import { nativeAddon } from '../../lib/load-native.js';

describe('description of the core', () => {
  it('in lib/ is what the addon says: `npm run describe` after a change', () => {
    assert.deepEqual(nativeAddon().describe(), description);
    const script = join(__dirname, '../../tools/describe.mjs');
    const { status, stderr } = spawnSync(process.execPath, [script, '--check']);
    assert.equal(status, 0, String(stderr));
  });

  it('names each thing once, with a default that its own range allows', () => {
    const { encoders, optimizers, lossTerms, objectiveOptions } = nativeAddon().describe();
    for (const table of [encoders, optimizers, lossTerms, objectiveOptions]) {
      const names = table.map(({ name }) => name);
      assert.ok(names.length > 0);
      assert.equal(new Set(names).size, names.length, names.join());
    }
    for (const { optimizer, leastInput, mostInput } of encoders) {
      assert.ok(optimizers.some(({ name }) => name === optimizer));
      assert.ok(leastInput <= mostInput);
    }
  });
});
