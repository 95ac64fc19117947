import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

const root = join(__dirname, '../..');

/** Files whose texts are only seen by people with a clone. */
const forClones = ['lib/cli/demo.ts', 'lib/load-native.ts'];

/** The texts of a TypeScript file: its string and template literals. */
function textsOf(file: string): string[] {
  const source = ts.createSourceFile(
    file,
    readFileSync(join(root, file), 'utf8'),
    ts.ScriptTarget.ES2022,
  );
  const texts: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node)) texts.push(node.text);
    if (ts.isTemplateMiddleOrTemplateTail(node)) texts.push(node.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return texts;
}

/** The texts of a C++ file, without comments. */
function nativeTextsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8').replace(/(?<!:)\/\/.*$/gm, '');
  return [...text.matchAll(/"(?:[^"\\\n]|\\.)*"/g)].map(([literal]) => literal);
}

function filesBelow(folder: string, suffix: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => suffix.test(name))
    .map((name) => `${folder}/${name}`);
}

describe('messages', () => {
  const scripts = /\bnpm (run|test|ci)\b/;

  it('finds the texts of a file', () => {
    assert.ok(textsOf('lib/load-native.ts').some((text) => scripts.test(text)));
    assert.ok(nativeTextsOf('native/graph/graph.cpp').length > 0);
  });

  it('name only commands that an installed package has', () => {
    const wrong = [
      ...filesBelow('lib', /\.ts$/).filter(
        (file) => !forClones.includes(file) && textsOf(file).some((text) => scripts.test(text)),
      ),
      ...filesBelow('native', /\.(cpp|h|cu)$/).filter((file) =>
        nativeTextsOf(file).some((text) => scripts.test(text)),
      ),
    ];
    assert.deepEqual(wrong, []);
  });
});
