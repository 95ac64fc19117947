/**
 * A set of files in one directory (a model, a checkpoint) that is replaced atomically, although a file
 * system can only rename one file at a time. It works like a redo log:
 *
 *   1. stage    all new files are written into DIR/.staging-<pid>-<random>/ and synced, with a manifest
 *   2. commit   one rename: DIR/.staging-... -> DIR/.committed      (the decisive step)
 *   3. apply    each file is renamed from DIR/.committed/ into DIR; stale files of the set are removed
 *   4. clean    the manifest and then DIR/.committed are removed
 *
 * If killed before 2, the old set is untouched; if killed after it, the new set is complete, partly in
 * DIR/.committed. `recoverDirectory` finishes steps 3 and 4 and is called before every read and every save.
 * Other files in DIR (a user may save into any directory) are never touched, and DIR itself is never
 * renamed, so plain readers find the usual flat layout.
 */
import { mkdir, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CountenanceError, readError, systemCode, writeError } from '../errors.js';
import { syncDirectory, uniqueSuffix, writeDurably, type FileContent } from './atomic.js';

const committedName = '.committed';
const manifestName = '.manifest';

interface Manifest {
  readonly files: readonly string[];
  readonly remove: readonly string[];
}

/** The steps between which the tests simulate a crash. */
export type SaveStep =
  'staging' | 'staged' | 'synced' | 'committed' | 'applied' | 'removed' | 'clean';

/** Options of {@link saveDirectory}. */
export interface SaveDirectoryOptions {
  /** Names of the set that must not exist afterwards (an old optimizer state next to new weights). */
  readonly remove?: readonly string[];
  /** Called between steps, for tests: a promise that never settles acts as a crash at that point. */
  readonly onStep?: (step: SaveStep) => void | Promise<void>;
}

/** The last save of each directory in this process: saves into the same directory run one after another. */
const running = new Map<string, Promise<void>>();

/**
 * Replaces a set of files in a directory atomically: a later {@link recoverDirectory} (every load calls it)
 * finds either all old or all new files, even after SIGKILL or a power cut in the middle. The directory is
 * created if it is missing.
 *
 * @throws CountenanceError ERR_WRITE naming the directory and the reason; the old set is then intact
 */
export async function saveDirectory(
  directory: string,
  files: ReadonlyMap<string, FileContent>,
  options: SaveDirectoryOptions = {},
): Promise<void> {
  const key = resolve(directory);
  const before = running.get(key) ?? Promise.resolve();
  const save = before.catch(() => undefined).then(() => saveUnlocked(key, files, options));
  running.set(key, save);
  try {
    await save;
  } catch (error) {
    throw writeError(directory, error);
  } finally {
    if (running.get(key) === save) running.delete(key);
  }
}

/** {@link saveDirectory} without the queue that serializes the saves of this process. */
export async function saveUnlocked(
  directory: string,
  files: ReadonlyMap<string, FileContent>,
  options: SaveDirectoryOptions = {},
): Promise<void> {
  const { remove = [], onStep = () => undefined } = options;
  await mkdir(directory, { recursive: true });
  await recoverDirectory(directory);
  await removeStaleStaging(directory);

  const staging = join(directory, `.staging-${uniqueSuffix()}`);
  try {
    await mkdir(staging);
    await onStep('staging');
    for (const [name, content] of files) await writeDurably(join(staging, name), content);
    const manifest: Manifest = { files: [...files.keys()], remove: [...remove] };
    await writeDurably(join(staging, manifestName), JSON.stringify(manifest));
    await onStep('staged');
    await syncDirectory(staging);
    await onStep('synced');
    await commit(staging, directory);
  } catch (error) {
    await rm(staging, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
  await syncDirectory(directory);
  await onStep('committed');
  await applyCommitted(directory, onStep);
}

/** The decisive rename. A set that another process has committed in the meantime is applied first. */
async function commit(staging: string, directory: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await rename(staging, join(directory, committedName));
      return;
    } catch (error) {
      const code = systemCode(error);
      const occupied = code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'EPERM';
      if (!occupied || attempt === 10) throw error;
      await recoverDirectory(directory);
    }
  }
}

/**
 * Finishes a save that was interrupted after its decisive step; normally does nothing. Every reader of a
 * directory written by {@link saveDirectory} calls it first.
 *
 * @throws CountenanceError ERR_WRITE if an interrupted save cannot be finished (read-only disk)
 */
export async function recoverDirectory(directory: string): Promise<void> {
  try {
    await stat(join(directory, committedName));
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return;
    throw readError('Directory', directory, error);
  }
  try {
    await applyCommitted(directory, () => undefined);
  } catch (error) {
    throw writeError(directory, error);
  }
}

/** Steps 3 and 4; every part may already have been done by an interrupted run or another process. */
async function applyCommitted(
  directory: string,
  onStep: (step: SaveStep) => void | Promise<void>,
): Promise<void> {
  const committed = join(directory, committedName);
  const manifest = await readManifest(committed);
  if (manifest) {
    for (const name of manifest.files) {
      await ignoring('ENOENT', rename(join(committed, name), join(directory, name)));
      await onStep('applied');
    }
    for (const name of manifest.remove) {
      if (!manifest.files.includes(name)) await rm(join(directory, name), { force: true });
    }
    await onStep('removed');
    // The manifest is removed last, once the renames are on disk: until then they can be redone.
    await syncDirectory(directory);
    await rm(join(committed, manifestName), { force: true });
  }
  await onStep('clean');
  await ignoring('ENOENT', rmdir(committed));
  await syncDirectory(directory);
}

async function readManifest(committed: string): Promise<Manifest | undefined> {
  let text: string;
  try {
    text = await readFile(join(committed, manifestName), 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const manifest = JSON.parse(text) as Manifest;
  const names = [...manifest.files, ...manifest.remove];
  if (names.some((name) => typeof name !== 'string' || /[/\\]/.test(name) || name === '..')) {
    throw new CountenanceError(
      'ERR_CHECKPOINT',
      `'${join(committed, manifestName)}' names files outside its directory`,
    );
  }
  return manifest;
}

async function ignoring(code: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (systemCode(error) !== code) throw error;
  }
}

/**
 * Removes the staging folders of interrupted saves: those of processes that no longer run, and those with
 * our own process id from before we started (in containers, every run has the same process id).
 */
async function removeStaleStaging(directory: string): Promise<void> {
  const startedAt = Date.now() - process.uptime() * 1000;
  for (const name of await readdir(directory)) {
    const pid = Number(/^\.staging-(\d+)-[\da-f]+$/.exec(name)?.[1] ?? NaN);
    if (Number.isNaN(pid)) continue;
    const path = join(directory, name);
    const status = await stat(path).catch(() => undefined);
    const stale =
      pid === process.pid ? (status?.mtimeMs ?? startedAt) < startedAt : !isRunning(pid);
    if (stale) await rm(path, { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}
