import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Info } from '../../lib/index.js';
import { Project, root } from './support.js';

// The CUDA plugin as users get it: its own package beside countenance, and the sources that
// countenance carries. `npm run test:cuda nvcc` builds and packs it and names the tarball.

const packageName = 'countenance-cuda-linux-x64';
const tarball = process.env['COUNTENANCE_CUDA_TARBALL'];

describe('the packed CUDA plugin', function () {
  this.timeout(600_000);

  const project = new Project();
  const installed = join(project.folder, 'node_modules', packageName);
  const cuda = (): Info['cuda'] =>
    (JSON.parse(project.succeeds('npx', 'countenance', 'info', '--json')) as Info).cuda;

  before(function () {
    if (tarball === undefined) {
      console.log('    SKIPPED: there is no plugin; npm run test:cuda nvcc builds it, with nvcc');
      this.skip();
    }
    project.install(project.pack().tarball);
  });
  after(() => project.remove());

  it('is not there before it is installed', () => {
    assert.match(cuda().reason, /countenance_cuda\.so is not installed/);
  });

  it('holds the plugin, says what it is and where it runs', () => {
    project.install(tarball!);
    const list = spawnSync('tar', ['-tf', tarball!], { encoding: 'utf8' })
      .stdout.trim()
      .split('\n');
    assert.deepEqual(
      list.sort(),
      ['LICENSE', 'README.md', 'countenance_cuda.so', 'package.json'].map((f) => `package/${f}`),
    );
    const main = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
      license: string;
      peerDependencies: Record<string, string>;
    };
    const { name, version, license, os, cpu, libc, peerDependencies } = JSON.parse(
      readFileSync(join(installed, 'package.json'), 'utf8'),
    ) as Record<string, unknown>;
    assert.deepEqual(
      { name, version, license, os, cpu, libc, peerDependencies },
      {
        name: packageName,
        version: main.version,
        license: main.license,
        os: ['linux'],
        cpu: ['x64'],
        libc: ['glibc'],
        peerDependencies: { countenance: main.version },
      },
    );
    assert.equal(main.peerDependencies[packageName], main.version);
  });

  it('is found and opened; what is missing then is the driver, at most', () => {
    const { plugin, runtime, reason, driver, devices } = cuda();
    assert.equal(plugin, join(installed, 'countenance_cuda.so'));
    assert.match(runtime ?? '', /^\d+\.\d$/);
    if (driver === null) assert.match(reason, /^there is no NVIDIA driver$/);
    else assert.ok(devices.length > 0 || /too old|no NVIDIA GPU/.test(reason), reason);
    const script = `
      import { Model, info, syntheticTextEmbeddings } from 'countenance';
      if (info().cuda.devices.length > 0) console.log('there is a GPU');
      else try {
        const classes = ['joy', 'neutral'];
        await Model.create({ backbone: 'resnet18', inputSize: 32, classes, neutral: 'neutral',
          textEmbeddings: syntheticTextEmbeddings(classes), device: 'cuda' });
      } catch (error) { console.log(error.code, error.message); }`;
    const said = project.succeeds('node', project.write('device.mjs', script));
    assert.match(said, /^ERR_DEVICE_UNAVAILABLE .*NVIDIA|^there is a GPU/);
  });

  it('is not used by another version of countenance, which says so', () => {
    const file = join(installed, 'package.json');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace(/"version": "[^"]+"/, '"version": "0.0.9"'));
    const { plugin, reason } = cuda();
    writeFileSync(file, text);
    assert.equal(plugin, null);
    assert.match(
      reason,
      /countenance-cuda-linux-x64 is version 0\.0\.9 but countenance is (\S+): npm install \S+@\1$/,
    );
  });

  it('comes behind the one that countenance build has made', () => {
    const folder = join(project.environment['XDG_CACHE_HOME']!, 'countenance', versionOfRoot());
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'countenance_cuda.so');
    writeFileSync(file, 'not a library');
    assert.ok(cuda().reason.includes(`cannot be opened: ${file}`), cuda().reason);
    copyFileSync(join(installed, 'countenance_cuda.so'), file);
    assert.equal(cuda().plugin, file);
  });

  it('can be built from the sources of countenance: CMake takes them, a kernel compiles', () => {
    const build = join(project.folder, 'build');
    const cmake = (...args: string[]): string => {
      const { status, stdout, stderr } = spawnSync('cmake', args, { encoding: 'utf8' });
      assert.equal(status, 0, stdout + stderr);
      return stdout;
    };
    cmake(
      ...['-S', join(project.folder, 'node_modules/countenance'), '-B', build],
      ...['-G', 'Unix Makefiles', '-DCOUNTENANCE_CUDA=ON', '-DCMAKE_CUDA_COMPILER=nvcc'],
      '-DCUDA_ARCHITECTURES=80-real',
    );
    assert.match(cmake('--build', build, '--target', 'help'), /countenance_cuda\b/);
    cmake('--build', build, '--target', 'native/backend/cuda/elementwise/relu.o');
    const object = 'CMakeFiles/countenance_cuda.dir/native/backend/cuda/elementwise/relu.cu.o';
    assert.ok(existsSync(join(build, object)));
  });
});

function versionOfRoot(): string {
  const text = readFileSync(join(root, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
