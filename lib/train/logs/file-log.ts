import { open, readFile, type FileHandle } from 'node:fs/promises';
import { extname } from 'node:path';
import { invalidArgument } from '../../check.js';
import { CountenanceError, readError, systemCode, writeError } from '../../errors.js';
import { writeFileAtomic } from '../../weights/atomic.js';
import type { StartEvent, TrainingEvent } from '../events.js';
import type { TrainingLog } from './log.js';
import { logColumns, rowOf, type LogRow } from './rows.js';

/** Formats of {@link FileLog}, by the file name's extension. */
export const logFormats = ['csv', 'jsonl'] as const;
type LogFormat = (typeof logFormats)[number];

/**
 * A log of steps and epochs in a file: `.csv` with a header line, or `.jsonl`, one JSON object per line.
 * A new run replaces the file; a resumed one continues from its checkpoint: rows that came after it
 * are removed first, so that none appears twice.
 *
 * @example
 * await using log = FileLog.at('run/log.csv');
 * for await (const event of trainer.fit(data, options)) await log.report(event);
 */
export class FileLog implements TrainingLog {
  #handle: FileHandle | undefined;
  #closed = false;

  private constructor(
    /** The file. */
    readonly file: string,
    readonly format: LogFormat,
  ) {}

  /**
   * The file is opened at the first event.
   *
   * @throws CountenanceError ERR_INVALID_ARGUMENT if the name ends in neither .csv nor .jsonl
   */
  static at(file: string): FileLog {
    const format = logFormats.find((name) => extname(file).toLowerCase() === `.${name}`);
    if (format === undefined) throw invalidArgument('a file name in .csv or .jsonl', 'log', file);
    return new FileLog(file, format);
  }

  async report(event: TrainingEvent): Promise<void> {
    if (this.#closed) throw new CountenanceError('ERR_CLOSED', 'The log was used after close()');
    if (event.type === 'start') await this.#start(event);
    if (event.type !== 'step' && event.type !== 'epoch') return;
    const row = rowOf(event);
    await this.#write(this.format === 'csv' ? csvLine(row) : jsonLine(row));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(event: StartEvent): Promise<void> {
    await this.#handle?.close();
    const header = this.format === 'csv' ? `${logColumns.join()}\n` : '';
    const kept = event.resumed ? await this.#keptLines(event) : [];
    await writeFileAtomic(this.file, header + kept.map((line) => `${line}\n`).join(''));
    try {
      this.#handle = await open(this.file, 'a');
    } catch (error) {
      throw writeError(this.file, error);
    }
  }

  /** Lines of an earlier part of the run; an incomplete last line is dropped. */
  async #keptLines({ resumed, epochsDone }: StartEvent): Promise<string[]> {
    let text: string;
    try {
      text = await readFile(this.file, 'utf8');
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw readError('Log', this.file, error);
    }
    const lines = text.split('\n').slice(0, -1);
    if (this.format === 'csv' && lines[0] !== undefined && lines[0] !== logColumns.join()) {
      throw this.#foreign('its header is another');
    }
    return lines.slice(this.format === 'csv' ? 1 : 0).filter((line) => {
      const { event, step, epoch } = this.format === 'csv' ? parseCsv(line) : this.#parseJson(line);
      return event === 'epoch' ? Number(epoch) <= epochsDone : Number(step) <= resumed!.step;
    });
  }

  #parseJson(line: string): LogRow {
    try {
      return JSON.parse(line) as LogRow;
    } catch {
      throw this.#foreign(`'${line.slice(0, 40)}' is not JSON`);
    }
  }

  #foreign(reason: string): CountenanceError {
    return new CountenanceError(
      'ERR_READ',
      `'${this.file}' is no log of the run that is resumed: ${reason}`,
    );
  }

  async #write(line: string): Promise<void> {
    try {
      // At once, so that no row of a step before a checkpoint can be lost.
      await this.#handle?.appendFile(line);
    } catch (error) {
      throw writeError(this.file, error);
    }
  }
}

function jsonLine(row: LogRow): string {
  return `${JSON.stringify(row)}\n`;
}

/** No value of a row needs quotes. */
function csvLine(row: LogRow): string {
  return `${logColumns.map((name) => row[name] ?? '').join()}\n`;
}

function parseCsv(line: string): LogRow {
  const fields = line.split(',');
  return Object.fromEntries(logColumns.map((name, i) => [name, fields[i] ?? '']));
}
