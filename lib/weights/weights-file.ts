import type { CountenanceError } from '../errors.js';

/** Creates the error that says why a file is rejected. */
export type Fail = (reason: string) => CountenanceError;

/** A tensor of a weights file; its values stay in the file until they are read. */
export interface WeightTensor {
  readonly shape: readonly number[];
  /** Element type in the file, under safetensors' name if it has one: `F32`, `BF16`, `I64`, ... */
  readonly dtype: string;
  /**
   * The values as float32 in row-major order, in a new array.
   *
   * @throws CountenanceError ERR_READ, ERR_OUT_OF_MEMORY, ERR_ABORTED, and the code of the file's format if
   *   the values are damaged or of an unsupported type
   */
  read(signal?: AbortSignal): Promise<Float32Array>;
}

/** The formats of weights files that are read. */
export type WeightsFormat = 'safetensors' | 'safetensors shards' | 'pytorch' | 'pytorch legacy';

/** An open weights file. It holds a file handle: `close()` it, or declare it with `await using`. */
export interface WeightsFile {
  readonly path: string;
  readonly format: WeightsFormat;
  /**
   * Tensors by name, in the order of the file. Nested dictionaries and lists are joined with dots:
   * `state_dict.conv1.weight`, `optimizer.state.0.exp_avg`.
   */
  readonly tensors: ReadonlyMap<string, WeightTensor>;
  /** Free text fields of safetensors; the strings and numbers besides the tensors of a PyTorch file. */
  readonly metadata: Readonly<Record<string, string>>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A weights file over handles that are closed with it. */
export function weightsFile(
  content: Omit<WeightsFile, 'close' | typeof Symbol.asyncDispose>,
  handles: readonly { close(): Promise<void> }[],
): WeightsFile {
  const close = async (): Promise<void> => {
    await Promise.all(handles.map((handle) => handle.close()));
  };
  return { ...content, close, [Symbol.asyncDispose]: close };
}
