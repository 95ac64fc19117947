// Compiles lib/ twice, for `import` and for `require`, into dist/.
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, runQuietly } from './steps.mjs';

export async function buildLibrary() {
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  for (const [format, type] of [
    ['esm', 'module'],
    ['cjs', 'commonjs'],
  ]) {
    const folder = join(root, 'dist', format);
    await runQuietly(`compiling lib to dist/${format}`, process.execPath, [
      ...[tsc, '-p', `tsconfig.${format}.json`],
    ]);
    writeFileSync(join(folder, 'package.json'), `{ "type": "${type}" }\n`);
    for (const file of ['binding.d.cts', 'cli/import-file.d.cts', 'cli/import-file.cjs']) {
      copyFileSync(join(root, 'lib', file), join(folder, file));
    }
    // lib/ is one folder below the root, dist/esm/ two.
    const binding = readFileSync(join(root, 'lib/binding.cjs'), 'utf8');
    writeFileSync(join(folder, 'binding.cjs'), binding.replaceAll("'../", "'../../"));
  }
}
