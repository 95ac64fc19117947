import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { CountenanceError, readError, throwIfAborted } from '../../errors.js';
import { checkIsFile, firstFile } from '../../files.js';
import { badFile } from './format.js';

/** Images of FER2013 are gray and all of this size. */
export const fer2013Side = 48;
const pixelCount = fer2013Side * fer2013Side;

/** The splits by the names of the column Usage. */
export const fer2013Usages = {
  train: 'Training',
  valid: 'PublicTest',
  test: 'PrivateTest',
} as const;

/** Longest line accepted; a real one has less than 10 KiB. */
const lineLimit = 1 << 16;

const newline = 0x0a;
const comma = 0x2c;
const zero = 0x30;
const nine = 0x39;

/** One image of fer2013.csv, with its pixels not parsed yet. */
export interface Fer2013Row {
  /** 0 for the first line after the header. */
  readonly row: number;
  /** 1 for the first line of the file. */
  readonly line: number;
  readonly emotion: string;
  /** Empty if there is no such column. */
  readonly usage: string;
  /** The column of pixels as text. */
  readonly pixels: Uint8Array;
}

/** Names of the file with all splits: of the data set, and of an archive of the Kaggle contest. */
export const wholeFileNames = ['fer2013.csv', 'icml_face_data.csv'] as const;
/** The contest's other archive has the training split alone. */
const fileNames = [...wholeFileNames, 'train.csv'] as const;

/**
 * The file of FER2013 in a directory, or in its folder `fer2013`.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND
 */
export async function findFer2013File(directory: string): Promise<string> {
  const places = fileNames.flatMap((name) => [name, join('fer2013', name)]);
  const file = await firstFile(places.map((place) => join(directory, place)));
  if (file !== undefined) return file;
  const names = fileNames.join(', ');
  throw new CountenanceError('ERR_FILE_NOT_FOUND', `'${directory}' contains none of ${names}`);
}

/**
 * Reads FER2013's `fer2013.csv`: a header such as `emotion,pixels,Usage`, then one image per line as 2304
 * numbers separated by spaces. The file (300 MB) is read in small chunks; the rows of each are yielded as a
 * list.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, ERR_DATASET_FORMAT, ERR_ABORTED
 */
export async function* readFer2013Rows(
  file: string,
  signal?: AbortSignal,
): AsyncGenerator<Fer2013Row[]> {
  await checkIsFile(file, 'Data set file');
  const reader = new RowReader(file);
  // 64 KiB is about 17 images and well below a millisecond of parsing.
  const stream = createReadStream(file, { highWaterMark: 1 << 16 });
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      throwIfAborted(signal, `Reading '${file}'`);
      const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
      const rows: Fer2013Row[] = [];
      let start = 0;
      for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
        const row = reader.read(bytes.subarray(start, end));
        if (row) rows.push(row);
        start = end + 1;
      }
      rest = bytes.subarray(start);
      if (rest.length > lineLimit) throw badFile(file, `line ${reader.line} is too long`);
      yield rows;
    }
  } catch (error) {
    throw readError('Data set file', file, error);
  }
  const last = reader.read(rest);
  if (last) yield [last];
}

interface Columns {
  readonly emotion: number;
  readonly pixels: number;
  readonly usage: number;
  readonly count: number;
}

class RowReader {
  /** Number of the line to be read next. */
  line = 1;
  private row = 0;
  private columns: Columns | undefined;

  constructor(private readonly file: string) {}

  read(bytes: Buffer): Fer2013Row | undefined {
    const line = this.line++;
    const fields = split(bytes);
    if (fields.length === 1 && fields[0]!.toString('latin1').trim() === '') return undefined;
    if (!this.columns) {
      this.columns = this.readHeader(fields);
      return undefined;
    }
    const { emotion, pixels, usage, count } = this.columns;
    if (fields.length !== count) {
      throw badFile(this.file, `line ${line} has ${fields.length} fields; expected ${count}`);
    }
    const text = (column: number): string => fields[column]?.toString('latin1').trim() ?? '';
    const row = this.row++;
    return { row, line, emotion: text(emotion), usage: text(usage), pixels: fields[pixels]! };
  }

  private readHeader(fields: readonly Buffer[]): Columns {
    const names = fields.map((field) => field.toString('utf8').trim().toLowerCase());
    names[0] = names[0]!.replace(/^\ufeff/, '');
    const columns = {
      emotion: names.indexOf('emotion'),
      pixels: names.indexOf('pixels'),
      usage: names.indexOf('usage'),
      count: names.length,
    };
    // The train.csv of the Kaggle contest has no column of usages.
    if (columns.emotion >= 0 && columns.pixels >= 0) return columns;
    const found = names.join(',').slice(0, 60);
    throw badFile(this.file, `its header is '${found}'; expected emotion,pixels,Usage`);
  }
}

function split(bytes: Buffer): Buffer[] {
  const fields: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(comma); end >= 0; end = bytes.indexOf(comma, start)) {
    fields.push(bytes.subarray(start, end));
    start = end + 1;
  }
  fields.push(bytes.subarray(start));
  return fields;
}

/**
 * Parses a column of pixels to gray values; any other character than a digit (a quote) separates numbers.
 *
 * @param gray 48 x 48 values to write
 * @throws CountenanceError ERR_DATASET_FORMAT naming file and line
 */
export function parseFer2013Pixels(file: string, row: Fer2013Row, gray: Uint8Array): void {
  let value = -1; // no digit yet
  let count = 0;
  const { pixels } = row;
  for (let i = 0; i <= pixels.length; i++) {
    const byte = i < pixels.length ? pixels[i]! : comma;
    if (byte >= zero && byte <= nine) {
      value = (value < 0 ? 0 : value) * 10 + byte - zero;
    } else if (value >= 0) {
      if (value > 255 || count >= pixelCount) break;
      gray[count++] = value;
      value = -1;
    }
  }
  if (count === pixelCount && value < 0) return;
  throw badFile(file, `line ${row.line} must have ${pixelCount} pixel values of 0..255`);
}
