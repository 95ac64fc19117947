import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readFields } from '../protobuf-reader.js';

/** Fields of a message by number, each in the order of the file. */
type Message = Map<number, (bigint | Buffer)[]>;

/** The content of a TensorBoard event. */
export interface ReadEvent {
  readonly wallTime: number;
  readonly step: number;
  readonly version?: string;
  readonly sessionStatus?: number;
  readonly scalars: Record<string, number>;
  readonly images: Record<
    string,
    { height: number; width: number; colorspace: number; png: Buffer }
  >;
}

/** CRC-32C bit by bit, from its definition. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit++) {
      const differs = ((crc ^ (byte >>> bit)) & 1) === 1;
      crc = (crc >>> 1) ^ (differs ? 0x82f63b78 : 0);
    }
  }
  return ~crc >>> 0;
}

/** The CRC that a masked one stands for. */
function unmask(masked: number): number {
  const rotated = (masked - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** The records of a TFRecord file; their CRCs must be right. */
export function readRecords(file: string): Buffer[] {
  const bytes = readFileSync(file);
  const records: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    const length = Number(bytes.readBigUInt64LE(at));
    assert.equal(unmask(bytes.readUInt32LE(at + 8)), crc32c(bytes.subarray(at, at + 8)), 'length');
    const data = bytes.subarray(at + 12, at + 12 + length);
    assert.equal(data.length, length, 'a whole record');
    assert.equal(unmask(bytes.readUInt32LE(at + 12 + length)), crc32c(data), 'data');
    records.push(data);
    at += 16 + length;
  }
  return records;
}

function parse(bytes: Buffer): Message {
  const message: Message = new Map();
  for (const [field, value] of readFields(bytes)) {
    message.set(field, [...(message.get(field) ?? []), value]);
  }
  return message;
}

/** The events of an event file. */
export function readEvents(file: string): ReadEvent[] {
  return readRecords(file).map((record) => {
    const event = parse(record);
    const all = (message: Message, field: number): Buffer[] =>
      (message.get(field) ?? []) as Buffer[];
    const number = (message: Message, field: number): number =>
      Number(message.get(field)?.[0] ?? 0);
    const scalars: ReadEvent['scalars'] = {};
    const images: ReadEvent['images'] = {};
    for (const value of all(event, 5)
      .flatMap((summary) => all(parse(summary), 1))
      .map(parse)) {
      const tag = all(value, 1)[0]!.toString('utf8');
      const [scalar] = all(value, 2);
      if (scalar) scalars[tag] = scalar.readFloatLE();
      for (const image of all(value, 4).map(parse)) {
        const [height, width, colorspace] = [1, 2, 3].map((field) => number(image, field));
        const png = all(image, 4)[0]!;
        images[tag] = { height: height!, width: width!, colorspace: colorspace!, png };
      }
    }
    const version = all(event, 3)[0]?.toString('utf8');
    const session = all(event, 7)[0];
    return {
      wallTime: all(event, 1)[0]!.readDoubleLE(),
      step: number(event, 2),
      ...(version !== undefined && { version }),
      ...(session && { sessionStatus: number(parse(session), 1) }),
      scalars,
      images,
    };
  });
}
