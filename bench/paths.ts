import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The package's folder: the benchmark runs from bench/ and, compiled, from below build/. */
export const root = findRoot(__dirname);

function findRoot(folder: string): string {
  const file = join(folder, 'package.json');
  if (existsSync(file)) {
    const { name } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string };
    if (name === 'countenance') return folder;
  }
  const above = dirname(folder);
  if (above === folder) throw new Error(`Found no package 'countenance' above ${__dirname}`);
  return findRoot(above);
}

/** Node's arguments to run a module of bench/ in its own process. */
export function moduleArguments(module: string): string[] {
  if (__filename.endsWith('.js')) return [join(__dirname, `${module}.js`)];
  return ['-r', 'tsx/cjs', join(__dirname, `${module}.ts`)];
}
