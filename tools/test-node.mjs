// Runs the mocha suite on other versions of Node, whose binaries come from the npm registry. The
// addon is the same file for all of them: Node-API is stable across versions.
// Usage: node tools/start.mjs test:node [22 24 ...] [-- MOCHA_ARGUMENT...]
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, runInteractive, runQuietly } from './steps.mjs';

const defaultVersions = ['22', '24'];

/** The program of a major version, installed into .cache/node-<version>; undefined if there is none. */
async function nodeOf(version) {
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(root, '.cache', `node-${version}`);
  const program = join(folder, 'node_modules', name, 'bin', 'node');
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  try {
    await runQuietly(`fetching Node ${version}`, 'npm', [
      ...['install', '--prefix', folder, ...options, `${name}@${version}`],
    ]);
  } catch {
    return undefined;
  }
  return existsSync(program) ? program : undefined;
}

export async function testNode(args, mochaArguments) {
  const end = args.indexOf('--');
  const versions = (end < 0 ? args : args.slice(0, end)).filter(Boolean);
  const rest = end < 0 ? [] : args.slice(end + 1);
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  let status = 0;
  for (const version of versions.length > 0 ? versions : defaultVersions) {
    const program = await nodeOf(version);
    if (!program) {
      console.log(`SKIPPED: no binary of Node ${version} could be had (needed: ${engines.node})`);
      continue;
    }
    const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
    console.log(`== Node ${stdout.trim()}`);
    const result = await runInteractive(program, mochaArguments(rest));
    status ||= result;
  }
  return status;
}
