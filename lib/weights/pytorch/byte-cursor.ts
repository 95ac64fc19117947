import { PickleProblem } from './values.js';

/** Longest decimal number or name of a text opcode. */
const longestLine = 1024;

/** Largest integer that is read: 1024 bytes, far larger than anything in a checkpoint. */
const longestInteger = 1024;

/** Reads small pieces of a pickle in order; each is checked against what is left. */
export class ByteCursor {
  private readonly view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    public position = 0,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private advance(length: number): number {
    const start = this.position;
    if (length > this.bytes.length - start) {
      throw new Truncated(`its pickle ends at byte ${this.bytes.length}, inside a value`);
    }
    this.position = start + length;
    return start;
  }

  byte(): number {
    return this.bytes[this.advance(1)]!;
  }

  uint16(): number {
    return this.view.getUint16(this.advance(2), true);
  }

  int32(): number {
    return this.view.getInt32(this.advance(4), true);
  }

  uint32(): number {
    return this.view.getUint32(this.advance(4), true);
  }

  /** A length of 8 bytes; one that is too large runs past the end of the pickle like any other. */
  uint64(): number {
    return Number(this.view.getBigUint64(this.advance(8), true));
  }

  /** Pickle stores floats as big-endian. */
  float64(): number {
    return this.view.getFloat64(this.advance(8), false);
  }

  take(length: number): Uint8Array {
    const start = this.advance(length);
    return this.bytes.subarray(start, start + length);
  }

  utf8(length: number): string {
    // Lone surrogates ("surrogatepass" in Python) become replacement characters.
    return this.#asBuffer(this.take(length)).toString('utf8');
  }

  latin1(length: number): string {
    return this.#asBuffer(this.take(length)).toString('latin1');
  }

  /** A line of a text opcode, without its line break. */
  line(): string {
    const end = this.bytes.subarray(0, this.position + longestLine).indexOf(0x0a, this.position);
    if (end >= 0) return this.latin1(end + 1 - this.position).slice(0, -1);
    if (this.bytes.length - this.position < longestLine) {
      throw new Truncated('its pickle ends inside a line');
    }
    throw new PickleProblem(`its pickle has a line of more than ${longestLine} bytes`);
  }

  /** A little-endian two's complement integer. */
  integer(length: number): number | bigint {
    if (length < 0 || length > longestInteger) {
      throw new PickleProblem(`its pickle has an integer of ${length} bytes`);
    }
    if (length === 0) return 0;
    const digits = this.#asBuffer(this.take(length)).toString('hex').match(/../g)!.reverse();
    return toInteger(BigInt.asIntN(8 * length, BigInt(`0x${digits.join('')}`)));
  }

  #asBuffer(bytes: Uint8Array): Buffer {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/** The pickle ended too early: more bytes of the file might complete it. */
export class Truncated extends PickleProblem {}

/** A number if that is exact, otherwise the bigint. */
export function toInteger(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
