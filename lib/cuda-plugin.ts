import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { packagedCudaPlugin } from './binding.cjs';
import { version } from './version.js';

export const cudaPluginName = 'countenance_cuda.so';
const packageName = 'countenance-cuda-linux-x64';

/**
 * Where `countenance build --cuda` puts the plugin of this version: in the user's cache, so that it serves
 * every project, outlives `npm ci` and needs no writable node_modules. Undefined if there is no home
 * directory.
 */
export function builtPluginFolder(): string | undefined {
  const given = process.env['XDG_CACHE_HOME'];
  try {
    const cache = given && isAbsolute(given) ? given : join(homedir(), '.cache');
    return join(cache, 'countenance', version);
  } catch {
    return undefined;
  }
}

/**
 * The CUDA plugin outside the addon's folder: the one built on this machine, otherwise that of the optional
 * package, with the reason (or '') why it cannot be used.
 */
export function findCudaPlugin(): { file: string; problem: string } | undefined {
  const folder = builtPluginFolder();
  if (folder !== undefined) {
    const file = join(folder, cudaPluginName);
    if (existsSync(file)) return { file, problem: '' };
  }
  const packaged = packagedCudaPlugin();
  if (!packaged) return undefined;
  const problem =
    packaged.version === version
      ? ''
      : `the package ${packageName} is version ${packaged.version} but countenance is ${version}: ` +
        `npm install ${packageName}@${version}`;
  return { file: packaged.file, problem };
}
