/**
 * Fields of Protocol Buffers messages (protobuf.dev, "Encoding"): a field is a tag, number * 8 + wire
 * type, and its value. A message is the fields one after another.
 */

const wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Seven bits a byte, lowest first; a set eighth bit says that more follow. */
export function varint(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt(value);
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

/** int32, int64, bool or enum, at least 0. */
export function varintField(number: number, value: number): Uint8Array {
  return Uint8Array.from([...varint(number * 8 + wire.varint), ...varint(value)]);
}

export function doubleField(number: number, value: number): Uint8Array {
  const data = Buffer.alloc(8);
  data.writeDoubleLE(value);
  return Buffer.concat([Uint8Array.from(varint(number * 8 + wire.fixed64)), data]);
}

export function floatField(number: number, value: number): Uint8Array {
  const data = Buffer.alloc(4);
  data.writeFloatLE(value);
  return Buffer.concat([Uint8Array.from(varint(number * 8 + wire.fixed32)), data]);
}

/** string, bytes, or a message as the fields it has. */
export function bytesField(
  number: number,
  value: string | Uint8Array | readonly Uint8Array[],
): Uint8Array {
  const data =
    typeof value === 'string' || value instanceof Uint8Array
      ? Buffer.from(value as string)
      : Buffer.concat(value);
  const head = [...varint(number * 8 + wire.bytes), ...varint(data.length)];
  return Buffer.concat([Uint8Array.from(head), data]);
}
