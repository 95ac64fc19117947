import { constants, type Stats } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { CountenanceError, readError } from './errors.js';

/** Largest file or stream that is read whole: 1 GiB. */
export const readLimit = 2 ** 30;

/** Largest text file that is read whole: 256 MiB, half of V8's limit for strings. */
const textLimit = 2 ** 28;

/**
 * Reads a whole regular file. It is opened without blocking, so that a named pipe cannot hang the caller.
 *
 * @param what how messages refer to the file, such as "Image"
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ
 */
export async function readRegularFile(
  path: string,
  what: string,
  limit = readLimit,
): Promise<Buffer> {
  const { handle, size } = await openRegularFile(path, what);
  try {
    if (size > limit) {
      throw new CountenanceError(
        'ERR_READ',
        `${what} '${path}' has ${size} bytes, more than the limit of ${limit}`,
      );
    }
    return await handle.readFile();
  } catch (error) {
    throw readError(what, path, error);
  } finally {
    await handle.close();
  }
}

/**
 * Opens a regular file and returns its size in bytes. It is opened without blocking, so that a named pipe
 * cannot hang the caller.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ
 */
export async function openRegularFile(
  path: string,
  what: string,
): Promise<{ readonly handle: FileHandle; readonly size: number }> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const status = await handle.stat();
    if (!status.isFile()) throw notRegular(path, what, status);
    return { handle, size: status.size };
  } catch (error) {
    await handle?.close();
    throw readError(what, path, error);
  }
}

function notRegular(path: string, what: string, status: Stats): CountenanceError {
  const kind = status.isDirectory() ? 'a directory, not a file' : 'not a regular file';
  return new CountenanceError('ERR_NOT_A_FILE', `${what} '${path}' is ${kind}`);
}

/** Reads a whole text file; throws like {@link readRegularFile}. */
export async function readTextFile(path: string, what: string): Promise<string> {
  return (await readRegularFile(path, what, textLimit)).toString('utf8');
}

/**
 * Checks that `path` is a directory.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_DIRECTORY, ERR_READ
 */
export async function checkDirectory(path: string, what: string): Promise<void> {
  let isDirectory: boolean;
  try {
    isDirectory = (await stat(path)).isDirectory();
  } catch (error) {
    throw readError(what, path, error);
  }
  if (!isDirectory) {
    throw new CountenanceError(
      'ERR_NOT_A_DIRECTORY',
      `${what} '${path}' is a file, not a directory`,
    );
  }
}

/**
 * Checks that `path` is a regular file.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ
 */
export async function checkIsFile(path: string, what: string): Promise<void> {
  try {
    const status = await stat(path);
    if (!status.isFile()) throw notRegular(path, what, status);
  } catch (error) {
    throw readError(what, path, error);
  }
}

/** What is at `path`: a file, a directory, or undefined for anything else. */
export async function kindOf(path: string): Promise<'file' | 'directory' | undefined> {
  const status = await stat(path).catch(() => undefined);
  if (status?.isDirectory()) return 'directory';
  return status?.isFile() ? 'file' : undefined;
}

/** The first of some paths that is a file. */
export async function firstFile(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    if ((await kindOf(path)) === 'file') return path;
  }
  return undefined;
}
