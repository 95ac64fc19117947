// Every check of style and types, in parallel: eslint, tsc over all TypeScript, clang-format, prettier.
// Usage: node tools/lint.mjs [--fix]
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensurePackages, root, runInteractive, runTogether } from './steps.mjs';

const fix = process.argv.includes('--fix');

/** A check as a program for `runTogether`: a heading, then the command's output. */
const check = (name, command, ...args) => ({
  name,
  run(write) {
    write(`== ${name}\n`);
    return runInteractive(command, args, { write });
  },
});
const node = (name, path, ...args) =>
  check(name, process.execPath, join(root, 'node_modules', path), ...args);

/** The native files that git tracks or would track. */
function nativeFiles() {
  const options = ['--cached', '--others', '--exclude-standard'];
  const patterns = ['*.cpp', '*.h', '*.cu', '*.cuh'];
  const { stdout } = spawnSync('git', ['ls-files', ...options, '--', ...patterns], {
    cwd: root,
    encoding: 'utf8',
  });
  return [...new Set(stdout.split('\n').filter(Boolean))];
}

await ensurePackages();
const checks = [
  node('eslint', 'eslint/bin/eslint.js', '--max-warnings=0', ...(fix ? ['--fix'] : []), '.'),
  node('tsc', 'typescript/bin/tsc', '-p', '.'),
];
const prettier = node(
  'prettier',
  'prettier/bin/prettier.cjs',
  fix ? '--write' : '--check',
  '--log-level=warn',
  '.',
);

// Versions disagree about the same style: only one of them can decide.
const version = spawnSync('clang-format', ['--version'], { encoding: 'utf8' }).stdout ?? '';
const files = nativeFiles();
if (!/version 14\./.test(version)) {
  console.log(
    `== clang-format: skipped, version 14 is wanted and ${version.trim() || 'none'} found`,
  );
} else if (files.length > 0) {
  const mode = fix ? ['-i'] : ['--dry-run', '-Werror'];
  checks.push(check('clang-format', 'clang-format', ...mode, '--style=file', ...files));
}

// Files that eslint has fixed are formatted afterwards.
const statuses = fix
  ? [...(await runTogether(checks.map(({ run }) => run))), ...(await runTogether([prettier.run]))]
  : await runTogether([...checks, prettier].map(({ run }) => run));
const failed = [...checks, prettier].filter((_, i) => statuses[i] !== 0).map(({ name }) => name);

console.log(failed.length > 0 ? `lint failed: ${failed.join(', ')}` : 'lint passed');
process.exitCode = failed.length > 0 ? 1 : 0;
