import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeError } from '../errors.js';
import { uniqueSuffix } from '../weights/atomic.js';

/**
 * Makes a directory and tries to write into it, so that hours of training are not lost at the end.
 *
 * @throws CountenanceError ERR_WRITE
 */
export async function checkWritableDirectory(directory: string): Promise<void> {
  const probe = join(directory, `.probe-${uniqueSuffix()}`);
  try {
    await mkdir(directory, { recursive: true });
    await writeFile(probe, '');
    await rm(probe, { force: true });
  } catch (error) {
    throw writeError(directory, error);
  }
}

/**
 * Makes sure that a file can be written, without touching it.
 *
 * @throws CountenanceError ERR_WRITE
 */
export async function checkWritableFile(file: string): Promise<void> {
  try {
    const probe = join(dirname(file), `.probe-${uniqueSuffix()}`);
    await writeFile(probe, '');
    await rm(probe, { force: true });
    if ((await stat(file).catch(() => undefined))?.isDirectory()) {
      throw Object.assign(new Error('it is a directory'), { code: 'EISDIR' });
    }
  } catch (error) {
    throw writeError(file, error);
  }
}
