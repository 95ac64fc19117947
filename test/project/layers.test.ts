import { strict as assert } from 'node:assert';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const root = join(__dirname, '../..');

/** The folders of native/. A file may include its own folder and the folders of earlier lines. */
const nativeLayers = [
  ['core'],
  ['backend'],
  ['graph', 'image'],
  ['ops', 'losses'],
  ['models', 'optim'],
  ['train', 'infer'],
  ['addon'],
];

// prettier-ignore
const operations = ['products', 'attention', 'norms', 'elementwise', 'pooling', 'losses', 'optim', 'images'];
/** The folders of each device's backend; 'class' are the files beside them. */
const backendLayers: Record<string, string[][]> = {
  cpu: [['class'], ['vectors'], operations],
  cuda: [['device'], ['frames'], ['class'], operations],
};

/**
 * The files and folders of lib/, without extension. A module may import itself and the modules of
 * earlier lines.
 */
const libLayers = [
  ['disposal'],
  ['errors', 'version'],
  ['types', 'check', 'philox', 'protobuf', 'turns', 'realm', 'description'],
  ['files', 'file-kinds', 'binding'],
  ['native', 'peers', 'cuda-plugin'],
  ['load-native', 'core-options'],
  ['weights', 'metrics'],
  ['images', 'text'],
  ['faces'],
  ['data'],
  ['model'],
  ['predict', 'train', 'export'],
  ['index'],
  ['cli'],
];

/** Headers that only one folder of native/ may include. */
const guardedHeaders = [
  { header: /^(napi|node_api|node_api_types|node|v8|uv)\.h$/, folder: 'addon/' },
  { header: /^(cuda|cublas|cudnn|cooperative_groups|mma\.h)/, folder: 'backend/cuda/' },
];

const maximumLines = 450;

function filesBelow(folder: string, suffixes: RegExp): string[] {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => suffixes.test(name) && !name.includes('node_modules'))
    .map((name) => join(folder, name))
    .sort();
}

/** A line per reference from `from` to `to` that does not point to an earlier layer. */
function violation(layers: string[][], from: string, to: string): string | undefined {
  const place = (name: string) => layers.findIndex((modules) => modules.includes(name));
  if (place(from) < 0) return `${from} is in no layer: add it to the table of this test`;
  if (place(to) < 0) return `${to} is in no layer: add it to the table of this test`;
  if (from === to || place(to) < place(from)) return undefined;
  return `${from} may not use ${to}`;
}

/** What a native file includes: `"..."` relative to native/, `<...>` from the system. */
function includesOf(file: string): { path: string; quoted: boolean }[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^\s*#\s*include\s*([<"])([^">]+)[">]/gm)].map((match) => ({
    path: match[2]!,
    quoted: match[1] === '"',
  }));
}

/** The relative modules that a TypeScript file imports, exports from or requires. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const pattern = /(?:\bfrom|\bimport|\bimport\(|\brequire\()\s*['"](\.{1,2}\/[^'"]+)['"]/g;
  return [...text.matchAll(pattern)].map((match) => match[1]!);
}

/**
 * Cycles among files that refer to each other: each as the files on it, with the first one repeated at
 * the end. If there are any, at least one is found.
 */
function circlesIn(references: ReadonlyMap<string, readonly string[]>): string[] {
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) circles.push([...path.slice(start), file].join(' -> '));
    if (start >= 0 || done.has(file)) return;
    for (const other of references.get(file) ?? []) visit(other, [...path, file]);
    done.add(file);
  };
  for (const file of references.keys()) visit(file, []);
  return circles;
}

/** The file of lib/ that an import names. */
function importedFile(file: string, path: string): string {
  return join(dirname(file), path).replace(/\.js$/, '.ts');
}

const nativeFiles = filesBelow('native', /\.(cpp|h|cu|cuh)$/);
const libFiles = filesBelow('lib', /\.(ts|cts|mts|cjs)$/);

describe('layers', () => {
  it('finds the sources it is about', () => {
    assert.ok(nativeFiles.includes('native/core/tensor.h'));
    assert.ok(libFiles.includes('lib/errors.ts'));
    assert.ok(nativeFiles.some((file) => includesOf(file).length > 0));
    assert.ok(libFiles.some((file) => importsOf(file).length > 0));
  });

  it('tells a wrong direction from a right one', () => {
    assert.equal(violation(nativeLayers, 'ops', 'core'), undefined);
    assert.equal(violation(nativeLayers, 'core', 'ops'), 'core may not use ops');
    assert.equal(violation(nativeLayers, 'train', 'infer'), 'train may not use infer');
    assert.equal(violation(libLayers, 'train', 'train'), undefined);
    assert.equal(violation(libLayers, 'predict', 'train'), 'predict may not use train');
    assert.match(violation(libLayers, 'cli', 'nowhere') ?? '', /in no layer/);
  });

  it('includes point to earlier layers in native/', () => {
    const wrong: string[] = [];
    for (const file of nativeFiles) {
      const layer = file.split('/')[1]!;
      for (const { path, quoted } of includesOf(file)) {
        if (!quoted) continue;
        if (!existsSync(join(root, 'native', path))) {
          wrong.push(`${file}: "${path}" is not a path from native/`);
          continue;
        }
        const problem = violation(nativeLayers, layer, path.split('/')[0]!);
        if (problem) wrong.push(`${file}: "${path}": ${problem}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('includes point to earlier layers in each backend', () => {
    const wrong: string[] = [];
    for (const file of nativeFiles) {
      const [, device, folder] = /^native\/backend\/(cpu|cuda)\/(?:(\w+)\/)?/.exec(file) ?? [];
      if (!device) continue;
      for (const { path } of includesOf(file)) {
        const [, other, used] = /^backend\/(cpu|cuda)\/(?:(\w+)\/)?/.exec(path) ?? [];
        if (!other) continue;
        const problem =
          other === device
            ? violation(backendLayers[device]!, folder ?? 'class', used ?? 'class')
            : `the ${device} backend may not use the ${other} backend`;
        if (problem) wrong.push(`${file}: "${path}": ${problem}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('only the addon knows Node, only backend/cuda knows CUDA', () => {
    const wrong: string[] = [];
    for (const file of nativeFiles) {
      for (const { path } of includesOf(file)) {
        for (const { header, folder } of guardedHeaders) {
          if (header.test(path) && !file.startsWith(`native/${folder}`)) {
            wrong.push(`${file} includes ${path}, which belongs to native/${folder}`);
          }
        }
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('imports point to earlier layers in lib/', () => {
    const moduleOf = (path: string) => path.split('/')[0]!.replace(/\.[a-z.]+$/, '');
    const wrong: string[] = [];
    for (const file of libFiles) {
      const from = moduleOf(relative('lib', file));
      for (const path of importsOf(file)) {
        const target = relative('lib', join(dirname(file), path));
        const problem = target.startsWith('..')
          ? `${path} leaves lib/`
          : violation(libLayers, from, moduleOf(target));
        // lib/binding.cjs opens the addon, which is built outside lib/.
        if (problem && !(file === 'lib/binding.cjs' && path.endsWith('.node'))) {
          wrong.push(`${file}: ${problem}`);
        }
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('finds circles', () => {
    const references = new Map([
      ['a', ['b', 'c']],
      ['b', ['c']],
      ['c', ['d', 'e']],
      ['d', []],
      ['e', ['b']],
      ['f', ['f']],
    ]);
    assert.deepEqual(circlesIn(references), ['b -> c -> e -> b', 'f -> f']);
    references.set('e', ['d']);
    references.set('f', []);
    assert.deepEqual(circlesIn(references), []);
  });

  it('no files of lib/ import each other in a circle', () => {
    const references = new Map(
      libFiles.map((file) => [file, importsOf(file).map((path) => importedFile(file, path))]),
    );
    assert.ok(references.get('lib/index.ts')!.every((file) => references.has(file)));
    assert.deepEqual(circlesIn(references), []);
  });

  it('no files of native/ include each other in a circle', () => {
    const included = (file: string): string[] =>
      includesOf(file).flatMap(({ path, quoted }) => (quoted ? [join('native', path)] : []));
    assert.deepEqual(circlesIn(new Map(nativeFiles.map((file) => [file, included(file)]))), []);
  });

  it(`no source file is longer than ${maximumLines} lines`, () => {
    const sources = ['native', 'lib', 'test', 'bench', 'tools', 'examples'].flatMap((folder) =>
      filesBelow(folder, /\.(ts|cts|cjs|mjs|cpp|h|cu|cuh|py)$/),
    );
    const long = sources
      .map((file) => ({
        file,
        lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1,
      }))
      .filter(({ lines }) => lines > maximumLines);
    assert.deepEqual(long, []);
  });
});
