// The contents of the two npm packages: countenance, which `npm pack` packs, and the CUDA plugin, which
// lib/binding.cjs looks for in its own package.
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildLibrary } from './build-library.mjs';
import { buildCuda, buildNative, requireNvcc, root, runNpm } from './steps.mjs';

/** Builds the library and the addon and puts them where `files` in package.json expects them. */
export async function preparePackage() {
  await buildNative('countenance');
  await buildLibrary();
  const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(root, 'build/Release/countenance.node'), join(folder, 'countenance.node'));
}

const name = 'countenance-cuda-linux-x64';
const plugin = 'countenance_cuda.so';

/** Has the same version as countenance, whose release it belongs to. */
function description({ version, license, author, engines }) {
  return {
    name,
    version,
    description: 'The CUDA plugin of countenance for NVIDIA GPUs, Linux on x64',
    keywords: ['countenance', 'cuda', 'gpu'],
    license,
    author,
    engines,
    os: ['linux'],
    cpu: ['x64'],
    libc: ['glibc'],
    files: [plugin],
    peerDependencies: { countenance: version },
  };
}

const readme = `# ${name}

The CUDA plugin of the package countenance: with it, \`device: 'auto'\` and
\`device: 'cuda'\` train and predict on an NVIDIA GPU.

    npm install countenance ${name}
    npx countenance info

Needs Linux on x64 with glibc 2.28 or later, a GPU of compute capability 8.0 or later and a driver for CUDA 13.
Nothing else of CUDA has to be installed. The versions of both packages must be the same.
`;

/** Builds the plugin in build-cuda and packs it; returns the tarball. */
export async function packageCuda(destination) {
  requireNvcc();
  const built = await buildCuda([], 'countenance_cuda');
  const folder = join(built, 'package');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const manifest = description(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  writeFileSync(join(folder, 'README.md'), readme);
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  copyFileSync(join(built, 'Release', plugin), join(folder, plugin));
  const target = resolve(destination);
  mkdirSync(target, { recursive: true });
  await runNpm(`packing ${name}`, ['pack', '--pack-destination', target], { cwd: folder });
  return join(target, `${name}-${manifest.version}.tgz`);
}
