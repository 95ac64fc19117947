import { createReadStream } from 'node:fs';
import { CountenanceError, readError } from '../errors.js';
import { standIn, startLength } from '../file-kinds.js';
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
 * skipped; a byte order mark is dropped.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, ERR_DATASET_FORMAT
 */
export async function* readCsv(file: string, what = 'CSV file'): AsyncGenerator<CsvRow[]> {
  await checkIsFile(file, what);
  const parser = new CsvParser(file);
  const stream = createReadStream(file, { encoding: 'utf8', highWaterMark: 1 << 16 });
  try {
    for await (const chunk of stream as AsyncIterable<string>) yield parser.push(chunk);
  } catch (error) {
    throw readError(what, file, error);
  }
  yield parser.end();
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
  private started = false;

  constructor(private readonly file: string) {}

  push(text: string): CsvRow[] {
    let start = 0;
    if (!this.started && text.length > 0) {
      this.started = true;
      const kind = standIn(Buffer.from(text.slice(0, startLength)));
      if (kind !== undefined) throw this.fail(kind);
      if (text.charCodeAt(0) === 0xfeff) start = 1;
    }
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
        if (character !== ',' && character !== '\n') continue;
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
    if (this.quoted) throw this.fail('a quoted field is not closed');
    if (this.field !== '' || this.fields.length > 0) {
      this.endField();
      this.endRow();
    }
    return this.flush();
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

  private fail(reason: string): CountenanceError {
    return new CountenanceError(
      'ERR_DATASET_FORMAT',
      `'${this.file}', line ${this.rowLine}: ${reason}`,
    );
  }
}
