import { createReadStream } from 'node:fs';
import { TextDecoder } from 'node:util';
import { CountenanceError, readError } from '../errors.js';
import { standIn } from '../file-kinds.js';
import { checkIsFile } from '../files.js';

/** Longest field accepted, in characters: a file with one endless line is not CSV. */
const fieldLimit = 1 << 20;

/** Maximum number of fields in a row. */
const rowLimit = 1 << 14;

/** One line of a CSV file. */
export interface CsvRow {
  /** 1 for the first line of the file. */
  readonly line: number;
  readonly fields: readonly string[];
}

/**
 * Reads a CSV file (RFC 4180: commas, double quotes around fields with commas, quotes or line breaks) as a
 * stream, yielding the rows of each chunk, so that large files do not stall the event loop. Empty lines are
 * skipped; a byte order mark is dropped. UTF-16, as spreadsheets write it, is read as well.
 *
 * @param separator between two fields; `detect`: the one that the header has most of (comma, semicolon, tab),
 *   or the one named by a first line such as `sep=;`
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, ERR_DATASET_FORMAT
 */
export async function* readCsv(
  file: string,
  what = 'CSV file',
  separator: ',' | 'detect' = ',',
): AsyncGenerator<CsvRow[]> {
  await checkIsFile(file, what);
  const parser = new CsvParser(file, separator);
  const stream = createReadStream(file, { highWaterMark: 1 << 16 });
  let decoder: TextDecoder | undefined;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (!decoder) {
        const kind = standIn(chunk);
        if (kind !== undefined) throw parser.fail(kind);
        decoder = decoderOf(chunk);
      }
      yield parser.push(decoder.decode(chunk, { stream: true }));
    }
    if (decoder) yield parser.push(decoder.decode());
  } catch (error) {
    throw readError(what, file, error);
  }
  yield parser.end();
}

/** A decoder for the encoding of a text: by its mark, or by where the zeros of its first letters are. */
function decoderOf(start: Buffer): TextDecoder {
  const [first, second] = start;
  const isLittle = (first === 0xff && second === 0xfe) || (first !== 0 && second === 0);
  const isBig = (first === 0xfe && second === 0xff) || (first === 0 && second !== 0);
  return new TextDecoder(isLittle ? 'utf-16le' : isBig ? 'utf-16be' : 'utf-8');
}

/** Separators that are recognised. */
const separators = [',', ';', '\t'];

/** The separator that a header has most of, outside quotes; the comma if it has none. */
function separatorOf(header: string): string {
  const plain = header.replaceAll(/"[^"]*"/g, '');
  const counts = separators.map((separator) => plain.split(separator).length);
  return separators[counts.indexOf(Math.max(...counts))]!;
}

/** All rows of a CSV file, for files whose content is kept in memory anyway. */
export async function readCsvRows(file: string, what?: string): Promise<CsvRow[]> {
  const rows: CsvRow[] = [];
  for await (const part of readCsv(file, what)) rows.push(...part);
  return rows;
}

/** The parser's state between two chunks of a file. */
class CsvParser {
  private rows: CsvRow[] = [];
  private fields: string[] = [];
  private field = '';
  private quoted = false;
  /** A quote was just seen inside a quoted field: either its end or the first half of `""`. */
  private quoteSeen = false;
  private line = 1;
  private rowLine = 1;
  /** What arrived before the header was whole; undefined once the separator is known. */
  private head: string | undefined;
  private separator = ',';

  constructor(
    private readonly file: string,
    separator: ',' | 'detect',
  ) {
    if (separator === 'detect') this.head = '';
  }

  push(piece: string): CsvRow[] {
    if (this.head === undefined) return this.parse(piece);
    this.head += piece;
    return this.head.includes('\n') || this.head.length > fieldLimit ? this.detect() : [];
  }

  /** Finds the separator, and parses what there is. */
  private detect(): CsvRow[] {
    let text = this.head!;
    this.head = undefined;
    const [line] = /^sep=.\r?(\n|$)/i.exec(text) ?? [];
    if (line !== undefined) {
      this.separator = text.charAt(4);
      this.line = this.rowLine = 2;
      text = text.slice(line.length);
    } else {
      this.separator = separatorOf(text.split('\n', 1)[0]!);
    }
    return this.parse(text);
  }

  private parse(text: string): CsvRow[] {
    const { separator } = this;
    let start = 0;
    // Runs of plain characters are copied as slices; `start` is where the current run began.
    for (let i = start; i < text.length; i++) {
      const character = text[i]!;
      if (this.quoted) {
        if (character === '\n') this.line += 1;
        if (character !== '"') continue;
        this.take(text, start, i);
        start = i + 1;
        this.quoted = false;
        this.quoteSeen = true;
      } else if (character === '"') {
        if (this.quoteSeen) this.field += '"';
        this.take(text, start, i);
        start = i + 1;
        this.quoted = true;
        this.quoteSeen = false;
      } else {
        this.quoteSeen = false;
        if (character !== separator && character !== '\n') continue;
        this.take(text, start, i);
        start = i + 1;
        this.endField();
        if (character === '\n') this.endRow();
      }
    }
    this.take(text, start, text.length);
    return this.flush();
  }

  end(): CsvRow[] {
    const rows = this.head === undefined ? [] : this.detect();
    if (this.quoted) throw this.fail('a quoted field is not closed');
    if (this.field !== '' || this.fields.length > 0) {
      this.endField();
      this.endRow();
    }
    return [...rows, ...this.flush()];
  }

  private take(text: string, start: number, end: number): void {
    if (end > start) this.field += text.slice(start, end);
    if (this.field.length > fieldLimit) throw this.fail('a field is longer than 1 MiB');
  }

  private endField(): void {
    this.fields.push(this.field);
    this.field = '';
    if (this.fields.length > rowLimit) throw this.fail(`a row has more than ${rowLimit} fields`);
  }

  private endRow(): void {
    const last = this.fields.length - 1;
    this.fields[last] = this.fields[last]!.replace(/\r$/, '');
    if (last > 0 || this.fields[0] !== '') {
      this.rows.push({ line: this.rowLine, fields: this.fields });
    }
    this.fields = [];
    this.line += 1;
    this.rowLine = this.line;
  }

  private flush(): CsvRow[] {
    const { rows } = this;
    this.rows = [];
    return rows;
  }

  fail(reason: string): CountenanceError {
    return new CountenanceError(
      'ERR_DATASET_FORMAT',
      `'${this.file}', line ${this.rowLine}: ${reason}`,
    );
  }
}
