// Prints one list of native sources from CMakeLists.txt, one path per line; binding.gyp has no list
// of its own. Usage: node tools/native-sources.mjs CORE_SOURCES
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** The paths that match a pattern `directory/*.extension` or `directory/*\/*.extension`. */
function expand(pattern) {
  const [directory] = pattern.split('/*');
  const depth = pattern.split('/').length;
  const suffix = pattern.slice(pattern.lastIndexOf('*') + 1);
  return readdirSync(join(root, directory), { recursive: true })
    .map((name) => `${directory}/${name}`)
    .filter((path) => path.endsWith(suffix) && path.split('/').length === depth)
    .sort();
}

export function nativeSources(list) {
  const text = readFileSync(join(root, 'CMakeLists.txt'), 'utf8');
  const match = new RegExp(`^(?:set|file)\\((?:GLOB )?${list}\\b([^)]*)\\)`, 'm').exec(text);
  if (!match) throw new Error(`CMakeLists.txt has no list named ${list}`);
  return match[1]
    .split(/\s+/)
    .filter((word) => word.endsWith('.cpp'))
    .flatMap((path) => (path.includes('*') ? expand(path) : [path]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const path of nativeSources(process.argv[2] ?? '')) console.log(path);
}
