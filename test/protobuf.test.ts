import assert from 'node:assert/strict';
import { Message } from '../lib/protobuf.js';
import { readFields } from './protobuf-reader.js';

const hex = (message: Message): string => Buffer.concat(message.pieces()).toString('hex');

describe('protobuf writer', () => {
  it('encodes as the specification says', () => {
    // The examples of the encoding guide: 150, "testing", a nested 150; then the ends of the ranges.
    assert.equal(hex(new Message().int(1, 150)), '089601');
    assert.equal(hex(new Message().string(2, 'testing')), '120774657374696e67');
    assert.equal(hex(new Message().message(3, new Message().int(1, 150))), '1a03089601');
    assert.equal(hex(new Message().ints(4, [3, 270, 86942])), '2206038e029ea705');
    assert.equal(hex(new Message().int(1, -1)), '08ffffffffffffffffff01');
    assert.equal(hex(new Message().int(1, 2n ** 63n - 1n)), '08ffffffffffffffff7f');
    assert.equal(hex(new Message().int(1, 0)), '0800');
    assert.equal(hex(new Message().float(1, 1.5)), '0d0000c03f');
    assert.equal(hex(new Message().double(1, 1.5)), '09000000000000f83f');
    assert.equal(hex(new Message().string(16, 'ü')), '820102c3bc');
    assert.equal(hex(new Message()), '');
  });

  it('keeps large bytes where they are and joins small ones', () => {
    const large = new Uint8Array(5000).fill(7);
    const nested = new Message().int(1, 1).bytes(2, large);
    const pieces = new Message().string(1, 'a').message(2, nested).int(3, 2).pieces();
    assert.equal(pieces.length, 3);
    assert.equal(pieces[1], large);
    const [, [, inner]] = readFields(Buffer.concat(pieces)) as [unknown, [number, Buffer]];
    assert.deepEqual(readFields(inner), [
      [1, 1n],
      [2, Buffer.from(large)],
    ]);
  });

  it('refuses what no reader takes, above 2 GiB', () => {
    const half = new Uint8Array(2 ** 30);
    const message = new Message().bytes(1, half).bytes(1, half);
    assert.throws(() => message.pieces(), { code: 'ERR_UNSUPPORTED' });
  });
});
