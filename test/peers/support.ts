import { createRequire } from 'node:module';
import { join } from 'node:path';

/** Loads an optional package from the folder that `npm run test:peers` installs. */
export function peer(name: string): unknown {
  const folder = process.env['COUNTENANCE_PEERS'];
  if (!folder) throw new Error('these tests run by `npm run test:peers`');
  return createRequire(join(folder, 'package.json'))(name) as unknown;
}

/** The parts of onnxruntime-node that these tests use. */
export interface OnnxRuntime {
  readonly InferenceSession: {
    create(file: string | Uint8Array, options?: object): Promise<OnnxSession>;
  };
  readonly Tensor: new (
    type: 'float32' | 'uint8' | 'int64',
    data: Float32Array | Uint8Array | BigInt64Array,
    dims: readonly number[],
  ) => OnnxTensor;
}

export interface OnnxSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, OnnxTensor>): Promise<Record<string, OnnxTensor>>;
  release(): Promise<void>;
}

export interface OnnxTensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

export const onnxruntime = (): OnnxRuntime => peer('onnxruntime-node') as OnnxRuntime;
