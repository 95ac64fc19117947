// The building blocks of the commands of package.json. Plain Node without dependencies: in a fresh clone
// they run before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, homedir, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

// ccache, if installed, finds what a clone in another folder has compiled.
process.env.CCACHE_BASEDIR ??= root;
process.env.CCACHE_NOHASHDIR ??= '1';

/** A failure that its message alone explains. */
export class StepError extends Error {}

/**
 * Runs a command attached to this terminal or, if `write` is given, passes its output to that;
 * resolves to its exit status.
 */
export function runInteractive(command, args, { env, write } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: write ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    });
    child.stdout?.on('data', write);
    child.stderr?.on('data', write);
    // An interrupt reaches the whole process group: the child decides how to stop, we wait for it.
    const ignore = () => {};
    process.on('SIGINT', ignore);
    child.on('error', reject);
    child.on('close', (status, signal) => {
      process.off('SIGINT', ignore);
      if (signal) console.error(`${command} was ended by ${signal}`);
      resolve(status ?? 1);
    });
  });
}

/**
 * Runs programs in parallel, one per core; each is called with a function that takes its output. The
 * output of the first one is shown at once, that of later ones in turn. Resolves to the statuses.
 */
export async function runTogether(programs) {
  const statuses = programs.map(() => undefined);
  const kept = programs.map(() => []);
  let shown = 0;
  let next = 0;
  const show = () => {
    for (; shown < programs.length; shown++) {
      for (const chunk of kept[shown].splice(0)) process.stdout.write(chunk);
      if (statuses[shown] === undefined) return;
    }
  };
  const work = async () => {
    while (next < programs.length) {
      const i = next++;
      const write = (chunk) => {
        kept[i].push(chunk);
        if (i === shown) show();
      };
      statuses[i] = await programs[i](write);
      show();
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return statuses;
}

/** Exit status of a test program without a test of the requested names (test/native/harness/harness.h). */
export const noTestStatus = 78;

/**
 * The first status that is not 0. A program without a test of the requested names is no failure as long
 * as another one has some.
 */
export function together(statuses) {
  const ran = statuses.filter((status) => status !== noTestStatus);
  return ran.length === 0 ? noTestStatus : (ran.find((status) => status !== 0) ?? 0);
}

/** A native test program as programs for `runTogether`: its tests in shares. */
export function inShares(program, names, run = runInteractive) {
  return [1, 2, 3, 4].map(
    (share) => (write) => run(program, [`--share=${share}/4`, ...names], { write }),
  );
}

/** Runs the tests of a native program in parallel; resolves to its exit status. */
export async function runNativeTests(program, args, run = runInteractive) {
  if (args.includes('--list')) return run(program, args);
  const status = together(await runTogether(inShares(program, args, run)));
  if (status === noTestStatus) console.error('No test has that name');
  return status;
}

/** Runs a command with one line of progress; its output is shown only if it fails. */
export function runQuietly(label, command, args, { cwd = root, env } = {}) {
  const started = Date.now();
  const tty = process.stdout.isTTY;
  process.stdout.write(tty ? label : `${label} ...\n`);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const collect = (chunk) => {
      output += chunk;
      const progress = /\[\s*(\d+%|\d+\/\d+)\]/g;
      const last = [...String(chunk).matchAll(progress)].at(-1)?.[1];
      if (tty && last) process.stdout.write(`\r\x1b[K${label} ${last}`);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', reject);
    child.on('close', (status) => {
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      if (tty) process.stdout.write(`\r\x1b[K${label}: ${seconds} s\n`);
      if (status === 0) resolve(output);
      else {
        process.stdout.write(output);
        const error = new StepError(`failed: ${label} (${command} ${args.join(' ')})`);
        error.output = output;
        reject(error);
      }
    });
  });
}

function works(command, ...args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** npm needs a writable cache; without a usable home directory it gets another one. */
function npmEnvironment() {
  let cache = process.env.npm_config_cache ?? join(homedir(), '.npm');
  try {
    mkdirSync(cache, { recursive: true });
    accessSync(cache, constants.W_OK);
  } catch {
    cache = join(tmpdir(), 'countenance-npm-cache');
    mkdirSync(cache, { recursive: true });
  }
  return { npm_config_cache: cache, npm_config_update_notifier: 'false' };
}

/** Runs npm: the one that started this, if any. */
export async function runNpm(label, command, { cwd = root, env } = {}) {
  const args = [...command, '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  await runQuietly(label, npm ? process.execPath : 'npm', npm ? [npm, ...args] : args, {
    cwd,
    env: { ...npmEnvironment(), ...env },
  });
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
  } catch {
    return {};
  }
}

/** Whether node_modules holds every package of the lock file that each machine needs. */
function packagesInstalled() {
  const installed = readPackages('node_modules/.package-lock.json');
  return Object.entries(readPackages('package-lock.json')).every(
    ([path, entry]) =>
      path === '' ||
      entry.optional ||
      entry.devOptional ||
      (installed[path]?.version === entry.version && existsSync(join(root, path))),
  );
}

/** Installs the packages in package-lock.json, unless they are there already. */
export async function ensurePackages() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new StepError(`countenance needs Node 20.19 or later; this is ${process.version}`);
  }
  if (packagesInstalled()) return;
  await runNpm('installing packages', ['ci']);
}

function requireBuildTools() {
  const missing = [];
  if (!works('cmake', '--version')) missing.push('cmake');
  if (!works(process.env.CXX ?? 'c++', '--version') && !works('g++', '--version')) {
    missing.push('g++');
  }
  if (!works('ninja', '--version') && !works('make', '--version')) missing.push('make');
  if (missing.length > 0) {
    const names = missing.join(', ');
    throw new StepError(
      `The native core is built from C++ and this machine lacks: ${names}.\n` +
        `On Debian or Ubuntu: apt-get install ${missing.join(' ')}`,
    );
  }
}

export function hasNvcc() {
  return works('nvcc', '--version');
}

export function requireNvcc() {
  if (hasNvcc()) return;
  throw new StepError(
    'The CUDA plugin is compiled by nvcc (CUDA 12.8 or later), which was not found',
  );
}

/** Number of parallel jobs: one per core, but no more than fit in memory at 1.5 GiB per compiler. */
function jobs() {
  return String(Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 1.5e9))));
}

/** Whether build/ was configured by cmake-js, for this very folder. */
function configured() {
  try {
    const cache = readFileSync(join(root, 'build/CMakeCache.txt'), 'utf8');
    return (
      cache.includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${root}\n`) && cache.includes('CMAKE_JS_INC')
    );
  } catch {
    return false;
  }
}

/** Brings targets of CMakeLists.txt up to date in build/, which also holds the addon. */
export async function buildNative(...targets) {
  requireBuildTools();
  const label = `building ${targets.join(' and ')}`;
  const build = () =>
    runQuietly(label, 'cmake', ['--build', 'build', '-j', jobs(), '--target', ...targets]);
  if (configured()) {
    try {
      await build();
      return;
    } catch (error) {
      // The compiler moved or CMake changed: only a fresh folder helps. Any other failure is real.
      if (!/CMake Error|CMakeCache/.test(error.output ?? '')) throw error;
    }
  }
  rmSync(join(root, 'build/CMakeCache.txt'), { force: true });
  rmSync(join(root, 'build/CMakeFiles'), { force: true, recursive: true });
  const cmakeJs = join(root, 'node_modules/cmake-js/bin/cmake-js');
  await runQuietly('configuring the native build', process.execPath, [cmakeJs, 'configure']);
  await build();
}

/**
 * Builds targets in their own folder, with CMake options; returns the folder. It sits next to build/, not
 * inside it: ccache hashes paths relative to the build folder, so folders at the same depth share objects.
 */
export async function buildIn(folder, options, ...targets) {
  requireBuildTools();
  const label = [targets.join(' and '), ...options].join(' ');
  await runQuietly(`configuring ${folder}`, 'cmake', ['-S', '.', '-B', folder, ...options]);
  await runQuietly(`building ${label}`, 'cmake', [
    ...['--build', folder, '-j', jobs(), '--target', ...targets],
  ]);
  return join(root, folder);
}

/** Builds targets of the CUDA plugin and its tests, with further CMake options; returns the folder. */
export function buildCuda(options, ...targets) {
  return buildIn('build-cuda', ['-DCOUNTENANCE_CUDA=ON', ...options], ...targets);
}

/** Builds native_tests with sanitizers; returns the program. */
export async function buildSanitized(name, sanitizers) {
  const folder = await buildIn(`build-${name}`, [`-DSANITIZE=${sanitizers}`], 'native_tests');
  return join(folder, 'native_tests');
}

/** Runs a program built with -fsanitize=thread; resolves to its exit status. */
export function runUnderTsan(program, args, { write } = {}) {
  // The runtime of older compilers rejects the address layout of newer kernels.
  const fixed = spawnSync('setarch', ['-R', 'true']).status === 0;
  const command = fixed ? ['setarch', '-R', program] : [program];
  return runInteractive(command[0], [...command.slice(1), ...args], {
    env: { TSAN_OPTIONS: 'halt_on_error=1' },
    write,
  });
}

/** Runs a program built with -fsanitize=address,undefined; resolves to its exit status. */
export function runUnderAsan(program, args, { write } = {}) {
  return runInteractive(program, args, {
    env: { ASAN_OPTIONS: 'detect_leaks=1', UBSAN_OPTIONS: 'print_stacktrace=1' },
    write,
  });
}

/** Runs a TypeScript file of the project, compiled on the fly. */
export function runTypeScript(file, args = []) {
  return runInteractive(process.execPath, ['-r', 'tsx/cjs', file, ...args]);
}
