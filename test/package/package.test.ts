import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Project, root } from './support.js';

// The package as a user gets it: packed, installed into an empty project on a machine without a
// compiler, used from every kind of module. `npm run test:package` builds what is packed.

describe('the packed package', function () {
  this.timeout(600_000);

  let files: readonly string[] = [];
  const project = new Project();
  const run = project.run.bind(project);
  const succeeds = project.succeeds.bind(project);
  const write = project.write.bind(project);

  before(() => {
    const packed = project.pack();
    files = packed.files;
    project.install(packed.tarball);
  });
  after(() => project.remove());

  it('holds the library, its types, the addon and the sources of the plugin, nothing else', () => {
    for (const wanted of [
      'dist/esm/index.js',
      'dist/esm/index.d.ts',
      'dist/cjs/index.js',
      'dist/cjs/index.d.ts',
      'dist/esm/weights/index.js',
      'dist/cjs/data/index.d.ts',
      `prebuilds/${process.platform}-${process.arch}/countenance.node`,
      'README.md',
      'CHANGELOG.md',
      'LICENSE',
      'CMakeLists.txt',
      'tools/cuda-plugin.cmake',
      'tools/keep-ptxas.sh',
      'native/backend/cuda/plugin.cpp',
    ]) {
      assert.ok(files.includes(wanted), `${wanted} is missing`);
    }
    const foreign = files.filter((path) => /^(test|build|bench|\.)|binding\.gyp|\.map$/.test(path));
    assert.deepEqual(foreign, []);
  });

  it('runs where there is no compiler', () => {
    for (const compiler of ['cmake', 'g++', 'cc', 'make']) {
      assert.notEqual(run(compiler, '--version').status, 0, `${compiler} should not be found`);
    }
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    const info = JSON.parse(succeeds('npx', 'countenance', 'info', '--json')) as {
      version: string;
    };
    assert.equal(info.version, version);
  });

  it('says what building the CUDA plugin would need', () => {
    const { status, stderr } = run('npx', 'countenance', 'build', '--cuda');
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^countenance: The CUDA plugin cannot be built here: [^\n]*\(ERR_BUILD\)\n$/,
    );
    for (const tool of ['nvcc (12.8 or later)', 'cmake (3.21', 'g++ (10.0', 'make (3.81']) {
      assert.ok(stderr.includes(tool), `${tool} in ${stderr}`);
    }
    const { cuda } = JSON.parse(succeeds('npx', 'countenance', 'info', '--json')) as {
      cuda: { reason: string; plugin: string | null };
    };
    assert.equal(cuda.plugin, null);
    assert.match(cuda.reason, /countenance_cuda\.so is not installed/);
  });

  it('trains and predicts from the command line', () => {
    const train = ['--data', 'synthetic:28', '--epochs', '1', '--batch-size', '14', '--size', '32'];
    succeeds(
      'npx',
      ...['countenance', 'train', ...train],
      ...['--backbone', 'resnet18', '--text', 'synthetic', '--out', 'model', '--json'],
    );
    write(
      'picture.mjs',
      `import sharp from 'sharp';
       await sharp({ create: { width: 40, height: 40, channels: 3, background: '#a86' } })
         .png().toFile('face.png');`,
    );
    succeeds('node', 'picture.mjs');
    const line = succeeds(
      'npx',
      'countenance',
      'predict',
      '--model',
      'model',
      'face.png',
      '--json',
    );
    const { file, scores } = JSON.parse(line) as { file: string; scores: Record<string, number> };
    assert.equal(file, 'face.png');
    assert.equal(Object.keys(scores).length, 7);
  });

  const use = `
    const predictor = await Predictor.load('model');
    const { label, score } = await predictor.predict('face.png');
    predictor.close();
    if (typeof label !== 'string' || !(score > 0)) throw new Error('no prediction');
    console.log('predicted');`;

  it('is imported by ES modules', () => {
    const text = `import { Predictor } from 'countenance';\n${use}`;
    assert.match(succeeds('node', write('module.mjs', text)), /predicted/);
  });

  it('is required by CommonJS, where its classes are the same', () => {
    const text = `const { Predictor } = require('countenance');\n(async () => {${use}})();`;
    assert.match(succeeds('node', write('module.cjs', text)), /predicted/);
  });

  const parts = {
    data: 'DataLoader',
    faces: 'alignFace',
    train: 'FileLog',
    weights: 'openWeights',
  };
  const printed = 'function,function,function,function';

  it('has subpaths for ES modules', () => {
    const imports = Object.entries(parts).map(
      ([part, name]) => `import { ${name} } from 'countenance/${part}';`,
    );
    const names = Object.values(parts).map((name) => `typeof ${name}`);
    const text = `${imports.join('\n')}\nconsole.log([${names.join(', ')}].join());`;
    assert.equal(succeeds('node', write('parts.mjs', text)).trim(), printed);
  });

  it('has subpaths for CommonJS', () => {
    const names = Object.entries(parts).map(
      ([part, name]) => `typeof require('countenance/${part}').${name}`,
    );
    const text = `console.log([${names.join(', ')}].join());`;
    assert.equal(succeeds('node', write('parts.cjs', text)).trim(), printed);
  });

  it('works in a worker, and the process ends', () => {
    write('worker.mjs', `import { Predictor } from 'countenance';\n${use}`);
    const text = `import { Worker } from 'node:worker_threads';
      const ends = [1, 2].map(() => new Promise((resolve, reject) =>
        new Worker(new URL('worker.mjs', import.meta.url)).on('error', reject).on('exit', resolve)));
      console.log((await Promise.all(ends)).join());`;
    const output = succeeds('node', write('pool.mjs', text));
    assert.deepEqual(output.trim().split('\n').sort(), ['0,0', 'predicted', 'predicted']);
  });

  const typed = `
    import { CountenanceError, Predictor, Trainer, type Prediction, type TrainingEvent } from 'countenance';
    import { type DataLoaderOptions } from 'countenance/data';
    import { openWeights, type WeightsFile } from 'countenance/weights';
    export async function label(file: string): Promise<string> {
      const predictor = await Predictor.load('model');
      const prediction: Prediction = await predictor.predict(file);
      // @ts-expect-error: a prediction has no such member, so the types are not any
      prediction.nonsense;
      return prediction.label;
    }
    export type Event = TrainingEvent['type'];
    export type Options = DataLoaderOptions;
    export const open = (path: string): Promise<WeightsFile> => openWeights(path);
    export const classes = [CountenanceError, Trainer];`;
  for (const [resolution, module, name] of [
    ['node16', 'node16', 'typed.mts'],
    ['node16', 'node16', 'typed.cts'],
    ['bundler', 'esnext', 'typed.ts'],
  ] as const) {
    it(`has types for ${name} with moduleResolution ${resolution}`, () => {
      const tsc = join(root, 'node_modules/typescript/bin/tsc');
      const options = ['--strict', '--noEmit', '--target', 'es2022', '--types', 'node'];
      const types = ['--typeRoots', join(root, 'node_modules/@types')];
      succeeds(
        'node',
        ...[tsc, ...options, ...types, '--module', module, '--moduleResolution', resolution],
        write(name, typed),
      );
    });
  }
});
