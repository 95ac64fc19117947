import type { FileHandle } from 'node:fs/promises';
import { CountenanceError, readError, throwIfAborted } from '../errors.js';
import { openRegularFile } from '../files.js';

/** Bytes per read call: aborts are checked between calls. */
const readSlice = 1 << 24;

/** A regular file whose parts are read on demand. */
export class FileReader {
  private constructor(
    readonly path: string,
    /** Size of the file in bytes when it was opened. */
    readonly size: number,
    private readonly handle: FileHandle,
  ) {}

  /**
   * Opens a file without blocking, so that a named pipe cannot hang the caller.
   *
   * @param what how messages refer to the file, such as "Weights file"
   * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ
   */
  static async open(path: string, what: string): Promise<FileReader> {
    const { handle, size } = await openRegularFile(path, what);
    return new FileReader(path, size, handle);
  }

  /**
   * Reads `length` bytes at `position` into a fresh buffer of exactly that size. Both must be inside the
   * file: the caller has checked them.
   *
   * @throws CountenanceError ERR_READ, ERR_OUT_OF_MEMORY, ERR_ABORTED
   */
  async read(position: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = allocate(length, this.path);
    try {
      for (let done = 0; done < length;) {
        throwIfAborted(signal, `Reading '${this.path}'`);
        const slice = Math.min(readSlice, length - done);
        const { bytesRead } = await this.handle.read(bytes, done, slice, position + done);
        if (bytesRead === 0) throw new Error('it ended while it was read');
        done += bytesRead;
      }
    } catch (error) {
      throw readError('Weights file', this.path, error);
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

function allocate(length: number, path: string): Uint8Array {
  try {
    return new Uint8Array(length);
  } catch (error) {
    const message = `A part of '${path}' needs ${length} bytes of memory, which could not be allocated`;
    throw new CountenanceError('ERR_OUT_OF_MEMORY', message, { cause: error });
  }
}
