import assert from 'node:assert/strict';

/** The fields of a protobuf message in order: number and value, a varint or bytes. */
export function readFields(bytes: Uint8Array): [number, bigint | Buffer][] {
  const result: [number, bigint | Buffer][] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => {
    assert.ok(at + length <= bytes.length, 'a field inside its message');
    at += length;
    return Buffer.from(bytes.buffer, bytes.byteOffset + at - length, length);
  };
  const readers = new Map<number, () => bigint | Buffer>([
    [0, varint],
    [1, () => take(8)],
    [2, () => take(Number(varint()))],
    [5, () => take(4)],
  ]);
  while (at < bytes.length) {
    const tag = Number(varint());
    const read = readers.get(tag & 7);
    assert.ok(read, `wire type ${tag & 7}`);
    result.push([tag >> 3, read()]);
  }
  return result;
}
