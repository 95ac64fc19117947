import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A package's folder and version. */
export interface FoundPackage {
  readonly folder: string;
  readonly version: string;
}

/**
 * Looks for the package to which a file or folder belongs.
 *
 * @throws Error if no folder above has a package.json of this name
 */
export function findPackage(name: string, path: string): FoundPackage {
  for (let folder = path; ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file)) {
      const found = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string };
      if (found.name === name) return { folder, version: found.version ?? '' };
    }
    if (dirname(folder) === folder) throw new Error(`Found no package '${name}' above ${path}`);
  }
}

/** The package's folder: the benchmark runs from bench/ and, compiled, from below build/. */
export const root = findPackage('countenance', __dirname).folder;

/** Node's arguments to run a module of bench/ in its own process. */
export function moduleArguments(module: string): string[] {
  if (__filename.endsWith('.js')) return [join(__dirname, `${module}.js`)];
  return ['-r', 'tsx/cjs', join(__dirname, `${module}.ts`)];
}
