import { CountenanceError, messageOf, toCountenanceError } from '../errors.js';
import { ProgressLine, type TextStream } from './progress.js';

/** Where a command writes. */
export interface Streams {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
}

/** What a command gets from its caller. */
export interface Context {
  readonly streams: Streams;
  /** Called once with the exit status. */
  readonly finish: (status: number) => void;
}

/**
 * A command's output: results on standard output, everything else on standard error, with the progress
 * line kept out of the way of both.
 */
export class Output {
  readonly progress: ProgressLine;

  /** @param json results are JSON, one object per line, and {@link text} prints nothing */
  constructor(
    private readonly streams: Streams,
    readonly json: boolean,
  ) {
    this.progress = new ProgressLine(streams.stderr);
  }

  /** True if nobody reads the results any more. */
  get closed(): boolean {
    return this.streams.stdout.closed ?? false;
  }

  /** A result for people. */
  text(lines: string): void {
    if (this.json) return;
    this.progress.clear();
    this.streams.stdout.write(`${lines}\n`);
  }

  /** A result for programs. */
  record(value: Readonly<Record<string, unknown>>): void {
    if (!this.json) return;
    this.progress.clear();
    this.streams.stdout.write(`${JSON.stringify(value)}\n`);
  }

  /** Information that is not a result. */
  note(line: string): void {
    this.progress.clear();
    this.streams.stderr.write(`${line}\n`);
  }

  /** One line that describes an error. */
  error(error: unknown): void {
    this.note(errorLine(error));
  }
}

/** `countenance: <message> (ERR_CODE)`. */
export function errorLine(error: unknown): string {
  const known = error instanceof CountenanceError ? error : toCountenanceError(error);
  return `countenance: ${messageOf(known)} (${known.code})`;
}
