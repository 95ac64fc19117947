import assert from 'node:assert/strict';
import { encodeZip } from '../../lib/weights/pytorch/zip-writer.js';
import { rejectsWith } from '../data/data-support.js';

/** Content that claims a length but has no bytes: reading one would fail the test. */
function claimed(length: number): Uint8Array {
  return new Proxy(new Uint8Array(0), {
    get(_, key) {
      if (key === 'length') return length;
      throw new Error(`'${String(key)}' of contents was read`);
    },
  });
}

describe('the ZIP writer', () => {
  const refused: readonly (readonly [string, readonly number[]])[] = [
    ['one entry of 4 GiB', [2 ** 32]],
    ['one entry of more', [2 ** 33]],
    ['4 GiB in small entries', Array.from({ length: 5 }, () => 2 ** 30)],
    ['4 GiB with its headers alone', [2 ** 32 - 100]],
  ];
  for (const [what, lengths] of refused) {
    it(`refuses ${what} before it reads any`, async () => {
      const contents = lengths.map((length, i) => ({ name: `data/${i}`, bytes: claimed(length) }));
      await rejectsWith(() => encodeZip(contents), 'ERR_UNSUPPORTED', '4 GiB', 'use safetensors');
    });
  }

  it('refuses 65,535 entries, whose count would point to a ZIP64 record, and takes one fewer', async () => {
    const bytes = new Uint8Array(0);
    const contents = Array.from({ length: 0xffff }, (_, i) => ({ name: `data/${i}`, bytes }));
    await rejectsWith(() => encodeZip(contents), 'ERR_UNSUPPORTED', '65,000 tensors');
    const end = (await encodeZip(contents.slice(1))).at(-1)!;
    assert.equal(Buffer.from(end).readUInt16LE(10), 0xfffe);
  });
});
