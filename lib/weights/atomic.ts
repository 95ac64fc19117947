import { randomBytes } from 'node:crypto';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { writeError } from '../errors.js';

/** The content of a file: text, or bytes in one or several pieces. */
export type FileContent = string | Uint8Array | readonly Uint8Array[];

/** A unique part of a name that identifies its creator: process id and random digits. */
export function uniqueSuffix(): string {
  return `${process.pid}-${randomBytes(6).toString('hex')}`;
}

/**
 * Writes a file atomically: into a temporary file in the same directory, fsync, rename to `path`, fsync of
 * the directory. Whatever happens (SIGKILL, power cut, full disk), `path` has either its old or its new
 * content. On failure the temporary file is removed.
 *
 * @throws CountenanceError ERR_WRITE naming `path` and the reason
 */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.tmp-${uniqueSuffix()}`);
  try {
    // If `path` is a directory, rename() would fail (ENOTEMPTY or EISDIR) only after all the work.
    if ((await stat(path).catch(() => undefined))?.isDirectory()) {
      throw Object.assign(new Error('it is a directory'), { code: 'EISDIR' });
    }
    await writeDurably(temporary, content);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw writeError(path, error);
  }
}

/** Writes a new file and waits until it is on disk. */
export async function writeDurably(path: string, content: FileContent): Promise<void> {
  const handle = await open(path, 'wx', 0o644);
  try {
    for (const piece of pieces(content)) await writeAll(handle, piece);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function pieces(content: FileContent): readonly Uint8Array[] {
  if (typeof content === 'string') return [Buffer.from(content, 'utf8')];
  return content instanceof Uint8Array ? [content] : content;
}

/** Bytes per write call, far below the 2 GiB limit of the system call. */
const writeSlice = 1 << 24;

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(writeSlice, bytes.length - done);
    done += (await handle.write(bytes, done, length)).bytesWritten;
  }
}

/**
 * Makes renames in a directory durable. Windows cannot open directories (and orders its renames by itself),
 * and some network file systems cannot sync one: both are ignored.
 */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'EINVAL' && code !== 'ENOTSUP') throw error;
  } finally {
    await handle.close();
  }
}
