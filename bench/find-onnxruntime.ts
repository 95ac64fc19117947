import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { root } from './paths.js';

/** An installed onnxruntime-node. */
export interface OnnxRuntimePackage {
  /** Its main file. */
  readonly file: string;
  readonly version: string;
}

/**
 * Looks for the package onnxruntime-node in the folder that `COUNTENANCE_PEERS` names, where
 * `npm run test:peers` installs it, and where this package finds its own.
 */
export function findOnnxRuntime(): OnnxRuntimePackage | undefined {
  const override = process.env['COUNTENANCE_PEERS'];
  const folders = [...(override ? [resolve(override)] : []), join(root, '.cache/peers'), root];
  for (const folder of folders) {
    try {
      const file = createRequire(join(folder, 'package.json')).resolve('onnxruntime-node');
      return { file, version: versionOf(file) };
    } catch {
      // Not there.
    }
  }
  return undefined;
}

/** The version in the package.json above a package's main file. */
function versionOf(file: string): string {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    try {
      const text = readFileSync(join(folder, 'package.json'), 'utf8');
      const { name, version } = JSON.parse(text) as { name?: string; version?: string };
      if (name === 'onnxruntime-node' && version) return version;
    } catch {
      // Further up.
    }
    if (dirname(folder) === folder) throw new Error(`no package.json above ${file}`);
  }
}
