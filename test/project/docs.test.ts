import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import * as data from '../../lib/data/index.js';
import * as faces from '../../lib/faces/index.js';
import * as countenance from '../../lib/index.js';
import * as train from '../../lib/train/index.js';
import * as weights from '../../lib/weights/index.js';
import { command } from '../cli/support.js';
import { temporaryDirectory } from '../data/data-support.js';

const root = join(__dirname, '../..');
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'examples/README.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.startsWith('api/'))
    .map((name) => `docs/${name}`),
];

/** Complete commands on a page: in code blocks and indented lines, without those that end in `...`. */
function commandsOf(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8').replace(/\\\n\s*/g, '');
  const lines = [...text.matchAll(/^(?: {4})?(?:npx )?countenance ([a-z].*)$/gm)];
  const isCommand = /^(train|evaluate|predict|data|embed-text|export|info)\b/;
  return lines
    .map(([, rest]) =>
      rest!
        .replace(/\s#.*$/, '')
        .replace('EPOCHS', '3')
        .trim(),
    )
    .filter((rest) => isCommand.test(rest) && !rest.includes('...'));
}

/** Splits plain and quoted text into words, as a shell does. */
function words(line: string): string[] {
  return [...line.matchAll(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g)].map(([word]) =>
    word.replace(/["']/g, ''),
  );
}

/** The package's entry points. */
const entries = {
  'countenance/data': data,
  'countenance/faces': faces,
  'countenance/train': train,
  'countenance/weights': weights,
  countenance,
};

/** Names that code blocks assume, besides the exports of countenance. */
const given = {
  model: "import('countenance').Model",
  predictor: "import('countenance').Predictor",
  trainer: "import('countenance').Trainer",
  mine: '(data: Uint8Array, width: number, height: number) => Promise<any[]>',
  cameraFrames: 'AsyncIterable<Buffer>',
  buffer: 'Buffer',
  classes: 'string[]',
  textEmbeddings: "import('countenance').TextEmbeddings",
  signal: 'AbortSignal',
  width: 'number',
  height: 'number',
  data: 'any',
  options: 'any',
  values: 'any',
  app: 'any',
  leftEye: 'any',
  rightEye: 'any',
  nose: 'any',
  leftMouth: 'any',
  rightMouth: 'any',
};

/** Packages that are not installed here. */
const elsewhere = ['@vladmandic/human', 'onnxruntime-node'];

/** Writes the pages' TypeScript, one module per block, and the names it assumes; returns the file names. */
function writeModules(folder: string): string[] {
  const files: string[] = [];
  const write = (name: string, text: string) => {
    files.push(join(folder, name));
    writeFileSync(files.at(-1)!, text);
  };
  const exported = Object.entries(entries).flatMap(([entry, module]) =>
    Object.keys(module).map((name) => [name, `typeof import('${entry}').${name}`]),
  );
  write(
    'given.d.ts',
    [
      ...elsewhere.map((name) => `declare module '${name}';`),
      ...[...new Map([...exported, ...Object.entries(given)] as [string, string][])].map(
        ([name, type]) => `declare const ${name}: ${type};`,
      ),
      "type Readable = import('node:stream').Readable;",
    ].join('\n'),
  );
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8');
    [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].forEach(([, block], i) => {
      write(`${page.replaceAll(/\W/g, '-')}-${i}.mts`, `${block}export {};\n`);
    });
  }
  return files;
}

describe('documentation', function () {
  this.timeout(60_000);
  const temporary = temporaryDirectory();
  const before = { cwd: process.cwd(), peers: process.env['COUNTENANCE_PEERS'] };
  beforeEach(() => {
    process.env['COUNTENANCE_PEERS'] = temporary.path('no packages');
    process.chdir(temporary.path());
  });
  afterEach(() => {
    process.chdir(before.cwd);
    if (before.peers === undefined) delete process.env['COUNTENANCE_PEERS'];
    else process.env['COUNTENANCE_PEERS'] = before.peers;
  });

  it('shows commands that the command line takes: here they end where their files are missing', async () => {
    let count = 0;
    for (const page of pages) {
      for (const line of commandsOf(page)) {
        const { status, stderr } = await command(...words(line));
        assert.notEqual(status, 2, `${page}: countenance ${line}: ${stderr}`);
        if (line !== 'info') {
          assert.match(stderr, /\((ERR_FILE_NOT_FOUND|ERR_PEER_MISSING)\)/, `${page}: ${line}`);
        }
        count += 1;
      }
    }
    assert.ok(count >= 20, `${count} commands were found`);
  });

  it('shows TypeScript that compiles', () => {
    const folder = join(root, 'build/documentation');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const files = writeModules(folder);
    assert.ok(files.length >= 20, `${files.length} blocks of code were found`);
    const program = ts.createProgram(files, {
      ...{ noEmit: true, strict: true, noImplicitAny: false, skipLibCheck: true, types: ['node'] },
      typeRoots: [join(root, 'node_modules/@types')],
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts', 'lib.dom.d.ts'],
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      paths: {
        countenance: [join(root, 'lib/index.ts')],
        'countenance/*': [join(root, 'lib/*/index.ts')],
      },
    });
    const problems = ts.formatDiagnostics(ts.getPreEmitDiagnostics(program), {
      getCanonicalFileName: (name) => name,
      getCurrentDirectory: () => folder,
      getNewLine: () => '\n',
    });
    assert.equal(problems, '');
  });

  it('links to files that are there', () => {
    for (const page of pages) {
      const text = readFileSync(join(root, page), 'utf8');
      for (const [, target] of text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
        if (/^[a-z]+:/.test(target!)) continue;
        assert.ok(existsSync(join(root, dirname(page), target!)), `${page} links to ${target!}`);
      }
    }
  });
});
