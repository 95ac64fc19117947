import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { findPackage, root } from './paths.js';

const name = 'onnxruntime-node';

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
      const file = createRequire(join(folder, 'package.json')).resolve(name);
      return { file, version: findPackage(name, file).version };
    } catch {
      // Not there.
    }
  }
  return undefined;
}
