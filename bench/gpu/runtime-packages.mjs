// Prints the folders below node_modules that the packed benchmark needs, one per line: the package's
// dependencies with theirs, and the headers that the addon is compiled with.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../tools/steps.mjs';

const needed = new Set();

function add(name) {
  const file = join(root, 'node_modules', name, 'package.json');
  // Optional ones of other platforms are not installed.
  if (needed.has(name) || !existsSync(file)) return;
  needed.add(name);
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(file, 'utf8'));
  for (const other of Object.keys({ ...dependencies, ...optionalDependencies })) add(other);
}

const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
for (const name of [...Object.keys(dependencies), 'node-addon-api', 'node-api-headers']) add(name);
console.log([...needed].sort().join('\n'));
