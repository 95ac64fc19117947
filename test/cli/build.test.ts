import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { builtPluginFolder, findCudaPlugin } from '../../lib/cuda-plugin.js';
import { version } from '../../lib/version.js';
import { command, jsonLines, startChild } from './support.js';

// `countenance build --cuda` with stand-ins for nvcc, cmake, g++ and make, which print what the test
// wants. test/package/cuda.test.ts has the real ones.

interface Tools {
  nvcc?: string;
  cmake?: string;
  'g++'?: string;
  make?: string;
  'nvidia-smi'?: string;
}

/** The version output of each program, if it is new enough. */
const versions = {
  nvcc: "echo 'Cuda compilation tools, release 12.8, V12.8.61'",
  'g++': 'echo 12.2.0',
  make: "echo 'GNU Make 4.3'",
};

describe('command line: build', function () {
  this.timeout(180_000);
  const folder = mkdtempSync(join(tmpdir(), 'countenance-build-'));
  const bin = join(folder, 'bin');
  const cache = join(folder, 'cache');
  const told = join(folder, 'arguments');
  const scratch = join(folder, 'scratch');
  const before = { ...process.env };

  /** A cmake that records its arguments and, when asked to build, does `building`. */
  const cmake = (building: string, configuring = ''): string => `
    case "$1" in
      --version) echo 'cmake version 3.25.1' ;;
      -S) printf '%s\\n' "$@" >'${told}'; ${configuring} ;;
      --build) printf '%s\\n' "$@" >>'${told}'; ${building} ;;
    esac`;
  const builds = cmake(
    'echo "[ 50%] Building"; /bin/mkdir "$2/Release"; echo a plugin >"$2/Release/countenance_cuda.so"',
  );

  /** PATH contains only these programs. */
  function install(tools: Tools): void {
    rmSync(bin, { recursive: true, force: true });
    mkdirSync(bin);
    for (const [name, script] of Object.entries(tools) as [string, string][]) {
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(bin, name), 0o755);
    }
  }

  beforeEach(() => {
    process.env['PATH'] = bin;
    process.env['XDG_CACHE_HOME'] = cache;
    process.env['TMPDIR'] = scratch;
    mkdirSync(scratch, { recursive: true });
    rmSync(cache, { recursive: true, force: true });
    rmSync(told, { force: true });
    install({ ...versions, cmake: builds });
  });
  afterEach(() => {
    for (const name of ['PATH', 'XDG_CACHE_HOME', 'TMPDIR']) {
      if (before[name] === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = before[name];
    }
    const leftOvers = readdirSync(scratch).filter((name) => name.startsWith('countenance-'));
    assert.deepEqual(leftOvers, []);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  async function fails(...argv: string[]): Promise<string> {
    const { status, stdout, stderr } = await command('build', '--cuda', ...argv);
    assert.equal(status, 1, stderr);
    assert.equal(stdout, '');
    return stderr;
  }

  it('has help with examples', async () => {
    const { status, stdout } = await command('build', '--help');
    assert.equal(status, 0);
    assert.match(stdout, /\$ countenance build --cuda\n/);
    for (const option of ['--architectures', '--jobs', '--out', '--json']) {
      assert.ok(stdout.includes(option), option);
    }
  });

  it('answers wrong usage with one line', async () => {
    for (const [argv, part] of [
      [[], '--cuda'],
      [['--cuda', '--architectures', '75'], '75'],
      [['--cuda', '--architectures', '80,'], 'native, all'],
      [['--cuda', '--architectures', '80;rm -rf'], 'native, all'],
      [['--cuda', '--jobs', '0'], '--jobs'],
    ] as const) {
      const { status, stderr } = await command('build', ...argv);
      assert.equal(status, 2, stderr);
      assert.match(stderr, /^countenance: [^\n]+\n$/);
      assert.ok(stderr.includes(part), stderr);
    }
  });

  it('puts the plugin where it is found', async () => {
    assert.equal(builtPluginFolder(), join(cache, 'countenance', version));
    const { status, stdout, stderr } = await command('build', '--cuda');
    assert.equal(status, 0, stderr);
    const file = join(cache, 'countenance', version, 'countenance_cuda.so');
    assert.ok(stdout.startsWith(`${file}: 0.0 MB, built in 0:0`), stdout);
    assert.equal(readFileSync(file, 'utf8'), 'a plugin\n');
    assert.deepEqual(readdirSync(join(file, '..')), ['countenance_cuda.so']);
    assert.deepEqual(findCudaPlugin(), { file, problem: '' });
    // No GPU here: the architectures of a published plugin.
    const args = readFileSync(told, 'utf8');
    assert.ok(!args.includes('CUDA_ARCHITECTURES'), args);
    assert.ok(args.includes('\n-DCMAKE_CUDA_COMPILER=nvcc\n') && args.includes('--parallel\n'));
  });

  it('takes the architectures of the GPUs, or those named, and the jobs', async () => {
    const smi = (...lines: string[]): string => `printf '%s\\n' ${lines.join(' ')}`;
    const architectures = async (gpus: string[], ...argv: string[]): Promise<string> => {
      install({
        ...versions,
        cmake: builds,
        ...(gpus.length > 0 && { 'nvidia-smi': smi(...gpus) }),
      });
      const { status, stderr } = await command('build', '--cuda', ...argv);
      assert.equal(status, 0, stderr);
      return /-DCUDA_ARCHITECTURES=(\S+)/.exec(readFileSync(told, 'utf8'))?.[1] ?? 'all';
    };
    assert.equal(await architectures(['8.9', '8.9', '7.5', '9.0']), '89-real;90-real');
    assert.equal(await architectures(['8.9'], '--architectures', 'native'), '89-real');
    assert.equal(await architectures(['8.9'], '--architectures', 'all'), 'all');
    assert.equal(await architectures([], '--architectures', '80, 90a-real'), '80;90a-real');
    await command('build', '--cuda', '--jobs', '3');
    assert.match(readFileSync(told, 'utf8'), /\n--parallel\n3\n$/);

    install({ ...versions, cmake: builds, 'nvidia-smi': smi('7.5') });
    assert.match(await fails(), /compute capability 7\.5, but 8\.0 .*\(ERR_UNSUPPORTED\)\n$/);
    install({ ...versions, cmake: builds });
    assert.match(await fails('--architectures', 'native'), /no GPU .*\(ERR_BUILD\)\n$/);
  });

  it('writes elsewhere, and JSON', async () => {
    const out = join(folder, 'else', 'where');
    const { status, stdout } = await command('build', '--cuda', '--out', out, '--json');
    assert.equal(status, 0);
    const [result, ...rest] = jsonLines(stdout);
    assert.deepEqual(rest, []);
    assert.equal(result!['file'], join(out, 'countenance_cuda.so'));
    assert.equal(result!['bytes'], 9);
    assert.ok(!existsSync(cache));
    const people = await command('build', '--cuda', '--out', out);
    assert.match(people.stdout, /Set COUNTENANCE_CUDA_PLUGIN=\S+countenance_cuda\.so to use it/);
  });

  it('names every tool that is missing or too old', async () => {
    install({});
    const missing = await fails();
    for (const tool of ['nvcc (12.8 or later)', 'cmake (3.21', 'g++ (10.0', 'make (3.81']) {
      assert.ok(missing.includes(tool), missing);
    }
    assert.match(missing, /^countenance: [^\n]+ \(ERR_BUILD\)\n$/);
    install({ ...versions, nvcc: "echo 'tools, release 11.8, V11.8.89'", cmake: builds });
    assert.match(await fails(), /here: nvcc is version 11\.8 but 12\.8 or later is needed/);
    install({ ...versions, cmake: "echo 'cmake version 3.9.6'" });
    assert.match(await fails(), /here: cmake is version 3\.9 but 3\.21 or later is needed/);
    assert.ok(!existsSync(told));
  });

  it('shows the end of what a failing compiler said, and the error in one line', async () => {
    const noise = 'i=0; while [ $i -lt 50 ]; do echo "line $i"; i=$((i + 1)); done';
    const broken = cmake(`${noise}; echo 'relu.cu(3): error: no such thing' >&2; exit 2`);
    install({ ...versions, cmake: broken });
    const said = (await fails()).trimEnd().split('\n');
    assert.match(
      said.at(-1)!,
      /^countenance: .* compiling failed: relu\.cu\(3\): error: no such thing \(ERR_BUILD\)$/,
    );
    assert.ok(said.includes('line 49') && !said.includes('line 9') && said.length < 40);
    const configuring =
      "printf 'CMake Error at CMakeLists.txt:3 (x):\\n  The compiler is broken\\n' >&2; exit 1";
    install({ ...versions, cmake: cmake('', configuring) });
    assert.match(
      await fails(),
      /configuring failed: CMake Error .* The compiler is broken \(ERR_B/,
    );
    assert.ok(!existsSync(join(cache, 'countenance', version, 'countenance_cuda.so')));
  });

  it('says where it cannot write, before it compiles', async () => {
    writeFileSync(join(folder, 'file'), '');
    process.env['XDG_CACHE_HOME'] = join(folder, 'file');
    assert.match(await fails(), /Could not write .*; --out names another folder \(ERR_WRITE\)\n$/);
    assert.match(await fails('--out', join(folder, 'file')), /Could not write .* \(ERR_WRITE\)\n$/);
    assert.ok(!existsSync(told));
  });

  it('ends compilers and leaves nothing when it is interrupted', async () => {
    const started = join(folder, 'started');
    const survived = join(folder, 'survived');
    const slow = `(/bin/sleep 3; echo >'${survived}') & echo >'${started}'; wait`;
    install({ ...versions, cmake: cmake(slow) });
    const child = startChild('build', '--cuda');
    while (!existsSync(started)) await new Promise((resolve) => setTimeout(resolve, 20));
    child.process.kill('SIGINT');
    const { status, stderr } = await child.end;
    assert.equal(status, 130, stderr);
    assert.match(stderr, /stopping \.\.\.\nstopped\n$/);
    await new Promise((resolve) => setTimeout(resolve, 3500));
    assert.ok(!existsSync(survived));
  });
});
