import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { writeFileAtomic } from '../../lib/weights/atomic.js';
import {
  recoverDirectory,
  saveDirectory,
  saveUnlocked,
  type SaveStep,
} from '../../lib/weights/directory.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

const run = promisify(execFile);
const names = ['config.json', 'model.safetensors', 'trainer_state.json'];

/** A set of three files that all hold the same version; the second is not tiny. */
function version(number: number): Map<string, string> {
  return new Map(names.map((name, i) => [name, `${number} ${'x'.repeat(i === 1 ? 200_000 : 10)}`]));
}

/** The version of each file of the set, as a loader finds it. */
async function versions(directory: string): Promise<string[]> {
  await recoverDirectory(directory);
  return Promise.all(
    names.map(async (name) => (await readFile(`${directory}/${name}`, 'utf8')).split(' ')[0]!),
  );
}

describe('writeFileAtomic', () => {
  const temporary = temporaryDirectory();

  it('writes text, bytes and pieces, and replaces a file', async () => {
    const file = temporary.path('file');
    await writeFileAtomic(file, 'text äö');
    assert.equal(await readFile(file, 'utf8'), 'text äö');
    await writeFileAtomic(file, [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)]);
    assert.deepEqual([...(await readFile(file))], [1, 2, 3]);
    assert.deepEqual(await readdir(temporary.path()), ['file']);
  });

  it('names the path and the reason when it cannot write', async () => {
    await rejectsWith(writeFileAtomic(temporary.path('no', 'file'), ''), 'ERR_WRITE', 'no/file');
    await writeFile(temporary.path('plain'), '');
    const below = temporary.path('plain', 'file');
    await rejectsWith(writeFileAtomic(below, ''), 'ERR_WRITE', 'not a directory');
    await mkdir(temporary.path('folder'));
    await rejectsWith(writeFileAtomic(temporary.path('folder'), ''), 'ERR_WRITE', 'directory');
  });

  it('says so where writing is not permitted', async function () {
    if (process.getuid?.() === 0) this.skip(); // root may write anywhere
    await mkdir(temporary.path('locked'));
    await chmod(temporary.path('locked'), 0o500);
    const file = temporary.path('locked', 'file');
    await rejectsWith(writeFileAtomic(file, ''), 'ERR_WRITE', 'permission denied');
  });
});

describe('saveDirectory', () => {
  const temporary = temporaryDirectory();

  it('makes the directory, replaces the set, removes stale files, keeps other files', async () => {
    const directory = temporary.path('a', 'model');
    await saveDirectory(directory, version(1));
    await writeFile(`${directory}/notes.txt`, 'mine');
    await saveDirectory(directory, new Map([['config.json', '2 ']]), {
      remove: ['trainer_state.json'],
    });
    assert.deepEqual((await readdir(directory)).sort(), [
      'config.json',
      'model.safetensors',
      'notes.txt',
    ]);
    assert.equal(await readFile(`${directory}/config.json`, 'utf8'), '2 ');
  });

  it('is whole or absent when it is stopped at any step', async () => {
    // A hook that never settles leaves the disk as a SIGKILL at that moment would.
    const steps: { step: SaveStep; isNew: boolean }[] = [
      { step: 'staging', isNew: false },
      { step: 'staged', isNew: false },
      { step: 'synced', isNew: false },
      { step: 'committed', isNew: true },
      { step: 'applied', isNew: true },
      { step: 'removed', isNew: true },
      { step: 'clean', isNew: true },
    ];
    for (const { step, isNew } of steps) {
      // 'applied' comes once per file: stop after the first and after the second.
      for (const count of step === 'applied' ? [1, 2] : [1]) {
        const directory = temporary.path(`${step}-${count}`);
        await saveUnlocked(directory, version(1));
        await writeFile(`${directory}/stale`, '');
        let seen = 0;
        const stopped = new Promise<void>((resolve, reject) => {
          saveUnlocked(directory, version(2), {
            remove: ['stale'],
            onStep: (current) => {
              if (current !== step || ++seen < count) return undefined;
              resolve();
              return new Promise<void>(() => undefined);
            },
          }).then(() => reject(new Error(`step ${step} was not reached`)), reject);
        });
        await stopped;
        const expected = isNew ? ['2', '2', '2'] : ['1', '1', '1'];
        assert.deepEqual(await versions(directory), expected, `${step} ${count}`);
        assert.equal((await readdir(directory)).includes('stale'), !isNew);
        await saveDirectory(directory, version(3));
        assert.deepEqual(await versions(directory), ['3', '3', '3']);
        assert.ok(!(await readdir(directory)).includes('.committed'));
      }
    }
  });

  it('is absent when the very first save is stopped before it is complete', async () => {
    const directory = temporary.path('first');
    await new Promise<void>((resolve) => {
      void saveUnlocked(directory, version(1), {
        onStep: (step) =>
          step === 'synced' ? (resolve(), new Promise<void>(() => undefined)) : undefined,
      });
    });
    await recoverDirectory(directory);
    assert.ok(!(await readdir(directory)).some((name) => names.includes(name)));
  });

  it('survives SIGKILL at any moment', async function () {
    this.timeout(60_000);
    const directory = temporary.path('killed');
    await saveDirectory(directory, version(0));
    // The child uses the same compiled code and saves version after version until it is killed.
    const program =
      `require('tsx/cjs'); const d = require('./lib/weights/directory.ts');` +
      `const names = ${JSON.stringify(names)};` +
      `(async () => { for (let v = 1; ; v++) { await d.saveDirectory(process.argv[1], ` +
      `new Map(names.map((n, i) => [n, v + ' ' + 'x'.repeat(i === 1 ? 200000 : 10)])));` +
      `process.stdout.write(v + '\\n'); } })();`;
    for (let round = 0; round < 6; round++) {
      const child = spawn(process.execPath, ['-e', program, directory], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let last = 0;
      const saved = new Promise<void>((resolve) => {
        child.stdout.on('data', (chunk: Buffer) => {
          last = Number(chunk.toString().trim().split('\n').pop());
          resolve();
        });
      });
      const exited = new Promise((resolve) => child.once('exit', resolve));
      await saved;
      await delay(5 + 7 * round);
      child.kill('SIGKILL');
      await exited;
      const found = await versions(directory);
      assert.equal(new Set(found).size, 1, `mixed versions ${found.join()}`);
      assert.ok(
        Number(found[0]) >= last,
        `version ${found[0]} is older than ${last}, which was saved`,
      );
    }
    await saveDirectory(directory, version(7));
    assert.deepEqual((await readdir(directory)).sort(), names, 'what killed runs left is gone');
  });

  it('runs saves into one directory one after another', async () => {
    const directory = temporary.path('queue');
    await Promise.all([1, 2, 3, 4].map((number) => saveDirectory(directory, version(number))));
    assert.deepEqual(await versions(directory), ['4', '4', '4']);
    assert.deepEqual((await readdir(directory)).sort(), names);
  });

  it('does not follow a manifest out of the directory', async () => {
    const directory = temporary.path('hostile');
    await mkdir(`${directory}/.committed`, { recursive: true });
    await writeFile(temporary.path('precious'), '');
    const manifest = JSON.stringify({ files: [], remove: ['../precious'] });
    await writeFile(`${directory}/.committed/.manifest`, manifest);
    await rejectsWith(recoverDirectory(directory), 'ERR_CHECKPOINT', 'outside');
    await stat(temporary.path('precious'));
  });

  it('says so where a file stands in the way', async () => {
    await writeFile(temporary.path('plain'), '');
    await rejectsWith(saveDirectory(temporary.path('plain'), version(1)), 'ERR_WRITE', 'plain');
    await rejectsWith(
      saveDirectory(temporary.path('plain', 'x'), version(1)),
      'ERR_WRITE',
      'plain',
    );
    await recoverDirectory(temporary.path('nowhere'));
  });

  it('keeps the old set and no rest when the disk is full', async function () {
    const directory = temporary.path('full');
    await mkdir(directory);
    // A small separate file system needs root; without it this is skipped.
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', directory]).then(
      () => true,
      () => false,
    );
    if (!mounted) this.skip();
    try {
      await saveDirectory(directory, version(1));
      const large = new Map([...version(2), ['model.safetensors', '2 '.repeat(400_000)]]);
      await rejectsWith(saveDirectory(directory, large), 'ERR_WRITE', 'full', 'no space left');
      assert.deepEqual(await versions(directory), ['1', '1', '1']);
      assert.deepEqual((await readdir(directory)).sort(), names);
      const file = `${directory}/single`;
      await rejectsWith(
        writeFileAtomic(file, 'x'.repeat(600_000)),
        'ERR_WRITE',
        'single',
        'no space',
      );
      assert.deepEqual((await readdir(directory)).sort(), names);
      await saveDirectory(directory, version(3));
      assert.deepEqual(await versions(directory), ['3', '3', '3']);
    } finally {
      await run('umount', [directory]);
      await rm(directory, { recursive: true, force: true });
    }
  });
});
