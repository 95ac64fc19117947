import { createReadStream } from 'node:fs';
import { readError, throwIfAborted } from '../../errors.js';
import { checkIsFile } from '../../files.js';
import { toRgb } from '../../images/pixels.js';
import type { RawImage } from '../../types.js';
import { badFile } from './format.js';

const side = 48;
const pixelCount = side * side;

/** Pictures of fer2013.csv, decoded from text and kept as gray bytes. */
export interface Fer2013Pixels {
  load(index: number): Promise<RawImage>;
}

const comma = 0x2c;
const newline = 0x0a;
const zero = 0x30;
const nine = 0x39;

/**
 * Reads chosen pictures of FER2013's `fer2013.csv`: header `emotion,pixels,Usage`, then one picture a
 * line as 2304 numbers apart by spaces. The file (300 MB) is parsed byte by byte in small pieces.
 *
 * @param rows rows to keep (0 is the first line after the header), ascending
 * @throws CountenanceError ERR_DATASET_FORMAT naming file and line
 */
export async function readFer2013Pixels(
  file: string,
  rows: readonly number[],
  signal?: AbortSignal,
): Promise<Fer2013Pixels> {
  await checkIsFile(file, 'Data set file');
  const gray = new Uint8Array(rows.length * pixelCount);
  const scanner = new PixelScanner(file, rows, gray);
  // 64 KiB are about 17 pictures and well below a millisecond of parsing.
  const stream = createReadStream(file, { highWaterMark: 1 << 16 });
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      throwIfAborted(signal, `Reading '${file}'`);
      scanner.push(chunk);
    }
  } catch (error) {
    throw readError('Data set file', file, error);
  }
  scanner.end();
  return {
    load: (index) =>
      toRgb(gray.subarray(index * pixelCount, (index + 1) * pixelCount), side, side, 1),
  };
}

/** Walks the bytes of the file; numbers of the second column of chosen rows go to `gray`. */
class PixelScanner {
  private row = -1; // the header
  private column = 0;
  private kept = 0;
  private pixel = 0;
  private value = -1; // no digit yet

  constructor(
    private readonly file: string,
    private readonly rows: readonly number[],
    private readonly gray: Uint8Array,
  ) {}

  push(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (byte === newline) this.endRow();
      else if (byte === comma) {
        if (this.isWanted()) this.endNumber();
        this.column += 1;
      } else if (this.isWanted()) {
        if (byte >= zero && byte <= nine) {
          this.value = (this.value < 0 ? 0 : this.value) * 10 + byte - zero;
        } else this.endNumber(); // a space, or a quote around the column
      }
    }
  }

  end(): void {
    if (this.column > 0) this.endRow();
    if (this.kept < this.rows.length) {
      throw badFile(this.file, `it has no line for row ${this.rows[this.kept]!} of fer2013new.csv`);
    }
  }

  private isWanted(): boolean {
    return this.column === 1 && this.row === this.rows[this.kept];
  }

  private endNumber(): void {
    if (this.value < 0) return;
    if (this.value > 255 || this.pixel >= pixelCount) throw this.fail();
    this.gray[this.kept * pixelCount + this.pixel] = this.value;
    this.pixel += 1;
    this.value = -1;
  }

  private endRow(): void {
    if (this.row === this.rows[this.kept]) {
      if (this.column === 1) this.endNumber();
      if (this.pixel !== pixelCount) throw this.fail();
      this.kept += 1;
      this.pixel = 0;
      this.value = -1;
    }
    this.row += 1;
    this.column = 0;
  }

  private fail(): Error {
    return badFile(
      this.file,
      `line ${this.row + 2} must hold ${pixelCount} pixel values of 0..255`,
    );
  }
}
