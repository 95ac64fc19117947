import { CountenanceError, messageOf, systemCode, type ErrorCode } from '../errors.js';
import { exitStatus } from './options.js';
import { errorLine, type Streams } from './output.js';
import type { TextStream } from './progress.js';

/**
 * A stream of the process whose end does not end the work: when its reader has gone (`| head`) or its disk
 * is full, what is written to it is lost, and the command decides what that means.
 */
class LossyStream implements TextStream {
  closed = false;
  /** Why writing failed, unless the reader has just gone. */
  failure: unknown;

  constructor(private readonly stream: NodeJS.WriteStream) {
    stream.on('error', (error) => this.end(error));
  }

  get isTTY(): boolean {
    return this.stream.isTTY;
  }

  get columns(): number {
    return this.stream.columns;
  }

  write(text: string): void {
    if (this.closed) return;
    try {
      this.stream.write(text);
    } catch (error) {
      this.end(error);
    }
  }

  private end(error: unknown): void {
    this.closed = true;
    if (systemCode(error) !== 'EPIPE') this.failure ??= error;
  }
}

/**
 * Runs a command as this process: its status becomes the exit status. The status is a failure until the
 * command says otherwise, and where results could not be written.
 */
export function runAsProcess(command: (streams: Streams) => Promise<number>): void {
  const stdout = new LossyStream(process.stdout);
  const stderr = new LossyStream(process.stderr);
  let finished = false;
  const fail = (code: ErrorCode, message: string): void => {
    stderr.write(`${errorLine(new CountenanceError(code, message))}\n`);
    process.exitCode = exitStatus.failed;
  };
  process.exitCode = exitStatus.failed;
  // Node ends with status 0 when there is nothing left to wait for, even if a promise has not settled.
  process.once('beforeExit', () => {
    if (!finished) {
      fail('ERR_INTERNAL', 'The command cannot finish: something it waits for never answers');
    } else if (stdout.failure !== undefined) {
      fail('ERR_WRITE', `Could not write standard output: ${messageOf(stdout.failure)}`);
    }
  });
  void command({ stdout, stderr }).then((status) => {
    finished = true;
    process.exitCode = status;
  });
}
