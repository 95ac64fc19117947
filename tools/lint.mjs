// Every check of style and types: eslint, prettier, tsc over all TypeScript, clang-format.
// Usage: node tools/lint.mjs [--fix]
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensurePackages, root } from './steps.mjs';

const fix = process.argv.includes('--fix');
const local = (path) => [process.execPath, join(root, 'node_modules', path)];
const failed = [];

function check(name, [command, ...first], ...args) {
  console.log(`== ${name}`);
  const { status } = spawnSync(command, [...first, ...args], { cwd: root, stdio: 'inherit' });
  if (status !== 0) failed.push(name);
}

/** The native files that git tracks or would track. */
function nativeFiles() {
  const { stdout } = spawnSync(
    'git',
    [
      'ls-files',
      '--cached',
      '--others',
      '--exclude-standard',
      '--',
      '*.cpp',
      '*.h',
      '*.cu',
      '*.cuh',
    ],
    { cwd: root, encoding: 'utf8' },
  );
  return [...new Set(stdout.split('\n').filter(Boolean))];
}

await ensurePackages();
check('tsc', local('typescript/bin/tsc'), '-p', '.');
check('eslint', local('eslint/bin/eslint.js'), '--max-warnings=0', ...(fix ? ['--fix'] : []), '.');
check(
  'prettier',
  local('prettier/bin/prettier.cjs'),
  fix ? '--write' : '--check',
  '--log-level=warn',
  '.',
);

// Versions disagree about the same style: only one of them can judge.
const version = spawnSync('clang-format', ['--version'], { encoding: 'utf8' }).stdout ?? '';
const files = nativeFiles();
if (!/version 14\./.test(version)) {
  console.log(
    `== clang-format: skipped, version 14 is wanted and ${version.trim() || 'none'} found`,
  );
} else if (files.length > 0) {
  const mode = fix ? ['-i'] : ['--dry-run', '-Werror'];
  check('clang-format', ['clang-format', ...mode], '--style=file', ...files);
}

console.log(failed.length > 0 ? `lint failed: ${failed.join(', ')}` : 'lint passed');
process.exitCode = failed.length > 0 ? 1 : 0;
