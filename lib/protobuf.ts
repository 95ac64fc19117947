import { CountenanceError } from './errors.js';

/** Maximum size of a protobuf message in bytes: readers use a signed 32-bit integer. */
const lengthLimit = 2 ** 31 - 1;

/** Wire types of the encoding. */
const wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Pieces smaller than this are merged, so that a file is not written in thousands of tiny calls. */
const smallPiece = 1 << 12;

/**
 * A protocol buffers message under construction: fields are appended in the order they are given.
 * Byte fields and nested messages are kept by reference, never copied, so that a network's weights
 * stay where they are.
 *
 * The encoding: https://protobuf.dev/programming-guides/encoding/
 *
 * @example
 * new Message().int(1, 8).string(2, 'countenance').pieces();
 */
export class Message {
  private readonly parts: Uint8Array[] = [];
  private size = 0;

  /** Size of the encoded message in bytes. */
  get length(): number {
    return this.size;
  }

  /** An int32, int64, bool or enum; negative numbers take ten bytes. */
  int(field: number, value: number | bigint): this {
    return this.tag(field, wire.varint).append(varint(value));
  }

  /** A float. */
  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.tag(field, wire.fixed32).append(bytes);
  }

  /** A double. */
  double(field: number, value: number): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    return this.tag(field, wire.fixed64).append(bytes);
  }

  /** A string, as UTF-8. */
  string(field: number, text: string): this {
    return this.bytes(field, Buffer.from(text, 'utf8'));
  }

  /** Bytes, not copied. */
  bytes(field: number, data: Uint8Array): this {
    return this.tag(field, wire.bytes).append(varint(data.length)).append(data);
  }

  /** A nested message. What is appended to it later is not included. */
  message(field: number, nested: Message): this {
    this.tag(field, wire.bytes).append(varint(nested.length));
    for (const part of nested.parts) this.append(part);
    return this;
  }

  /** A packed list of int64. */
  ints(field: number, values: readonly number[]): this {
    const list = new Message();
    for (const value of values) list.append(varint(value));
    return this.message(field, list);
  }

  /**
   * The encoded message as pieces, to be written in order.
   *
   * @throws CountenanceError ERR_UNSUPPORTED if it is longer than a reader accepts, 2 GiB
   */
  pieces(): Uint8Array[] {
    if (this.size > lengthLimit) {
      throw new CountenanceError(
        'ERR_UNSUPPORTED',
        `A protobuf message can have at most ${lengthLimit} bytes, but this one has ${this.size}`,
      );
    }
    const pieces: Uint8Array[] = [];
    let small: Uint8Array[] = [];
    const flush = (): void => {
      if (small.length > 0) pieces.push(Buffer.concat(small));
      small = [];
    };
    for (const part of this.parts) {
      if (part.length < smallPiece) {
        small.push(part);
        continue;
      }
      flush();
      pieces.push(part);
    }
    flush();
    return pieces;
  }

  private tag(field: number, type: number): this {
    return this.append(varint(field * 8 + type));
  }

  private append(part: Uint8Array): this {
    this.parts.push(part);
    this.size += part.length;
    return this;
  }
}

/** Seven bits per byte, lowest first; the eighth says that more follow. Negative: as unsigned 64-bit. */
function varint(value: number | bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
