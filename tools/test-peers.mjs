// Installs the large optional packages into their own folder and runs the tests that need them.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, runNpm } from './steps.mjs';

const folder = join(root, '.cache/peers');

/** Whether the folder holds the pinned version of every package. */
function installed(dependencies) {
  return Object.entries(dependencies).every(([name, version]) => {
    const file = join(folder, 'node_modules', name, 'package.json');
    return existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).version === version;
  });
}

/**
 * Brings .cache/peers up to date with tools/peers.json; returns the environment in which the library
 * and the tests find it.
 */
export async function installPeers() {
  const wanted = readFileSync(join(root, 'tools/peers.json'), 'utf8');
  if (!installed(JSON.parse(wanted).dependencies)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), wanted);
    await runNpm(
      'installing the optional packages',
      ['install', '--no-package-lock', '--prefix', folder],
      {
        cwd: folder,
        // onnxruntime-node contains its CPU library; anything else it would download is for GPUs.
        env: { ONNXRUNTIME_NODE_INSTALL: 'skip' },
      },
    );
  }
  return { COUNTENANCE_PEERS: folder };
}
