import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');

/**
 * A path from the root in a text: `native/core/tensor.h`, `bench/results`. Not the end of a longer path
 * (`../native/x`, `examples.org/docs/y`), and nothing that contains a pattern (`docs/*.md`).
 */
const citation =
  /(?<![\w./@:}*~-])(?:native|lib|docs|test|tools|bench|examples)\/[\w.-]+(?:\/[\w.-]+)*(?![\w/<*{$])/g;

/** The paths that a text cites; a full stop after one belongs to the sentence. */
function citations(text: string): string[] {
  return [...text.matchAll(citation)].map(([path]) => path.replace(/\.$/, ''));
}

/** What the comments of each extension look like. */
const comments: readonly [RegExp, RegExp][] = [
  [/\.(ts|cts|mjs|cjs|cpp|h|cu|cuh)$/, /(?<!:)\/\/.*$|\/\*[\s\S]*?\*\//gm],
  [/\.(py|sh|cmake|yml)$|CMakeLists\.txt$|\.ci\/run$|binding\.gyp$/, /(?<=^|\s)#.*$/gm],
];

/** Where a file may cite another one: anywhere in a page of documentation, in the comments of a source. */
function prose(file: string, text: string): string {
  if (file.endsWith('.md')) return text;
  const pattern = comments.find(([name]) => name.test(file))?.[1];
  return pattern ? [...text.matchAll(pattern)].map(([comment]) => comment).join('\n') : '';
}

/** Made by a build or a command on some machines: not in every clone. */
const made = /^docs\/api$|^docs\/api\/|^test\/cuda\/golden\/ptx\.txt$/;

/** The files that git tracks or would track. */
function projectFiles(): string[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard'];
  const { stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  const isFile = (file: string) => statSync(join(root, file), { throwIfNoEntry: false })?.isFile();
  return stdout.split('\n').filter((file) => file && isFile(file));
}

/** `file: path` of each cited path that does not exist. */
function missing(file: string, text: string): string[] {
  return citations(prose(file, text))
    .filter((path) => !made.test(path) && !existsSync(join(root, path)))
    .map((path) => `${file}: ${path}`);
}

describe('citations', () => {
  it('tells a file that is there from one that is not', () => {
    assert.deepEqual(missing('a.md', 'See `native/core/tensor.h`, and docs/ARCHITECTURE.md.'), []);
    assert.deepEqual(missing('a.md', 'See `native/core/tenzor.h`.'), [
      'a.md: native/core/tenzor.h',
    ]);
    assert.deepEqual(missing('a.h', '/* docs/NOWHERE.md has it. */ "docs/NEVER.md"'), [
      'a.h: docs/NOWHERE.md',
    ]);
    assert.deepEqual(missing('a.sh', '# test/nowhere\nrun test/never'), ['a.sh: test/nowhere']);
    assert.deepEqual(missing('a.md', 'build/native/x docs/*.md bench/results/<day>.json'), []);
  });

  it('name files that are there', () => {
    const self = 'test/project/citations.test.ts';
    const files = projectFiles().filter((file) => file !== self);
    let count = 0;
    const wrong = files.flatMap((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      count += citations(prose(file, text)).length;
      return missing(file, text);
    });
    assert.deepEqual(wrong, []);
    assert.ok(count >= 100, `${count} citations were found`);
  });
});
