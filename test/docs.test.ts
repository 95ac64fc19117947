import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { command } from './cli-support.js';
import { temporaryDirectory } from './data-support.js';

const root = join(__dirname, '..');
const pages = [
  'README.md',
  'examples/README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** Whole commands of a page: of code blocks and indented lines, without those that end in `...`. */
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

/** Words as a shell makes them of plain and quoted text. */
function words(line: string): string[] {
  return [...line.matchAll(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g)].map(([word]) =>
    word.replace(/["']/g, ''),
  );
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
