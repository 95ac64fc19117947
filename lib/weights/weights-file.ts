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

/**
 * A Python object of a PyTorch file that only code could rebuild: a recorder, a configuration, a member of
 * an enum. Nothing in a file is ever run, so the object is left alone.
 */
export interface PythonObject {
  /** Where it is in the file, such as `recorder`; empty if it is the whole file, or is used nowhere. */
  readonly name: string;
  /** The name that would have to be called: `__main__.RecorderMeter`. */
  readonly type: string;
  /** Names of the tensors that are only inside it, and cannot be read. */
  readonly tensors: readonly string[];
}

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
  /** Python objects of a PyTorch file that were left alone. */
  readonly notRebuilt: readonly PythonObject[];
  /** Other weights files in the directory that was opened; they were not read. */
  readonly beside: readonly string[];
  /** Tensors that an index of shards names, and no shard has. */
  readonly absent: readonly string[];
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

type Content = Pick<WeightsFile, 'path' | 'format' | 'tensors' | 'metadata'> &
  Partial<Pick<WeightsFile, 'notRebuilt' | 'beside' | 'absent'>>;

/** A weights file over handles that are closed with it. */
export function weightsFile(
  content: Content,
  handles: readonly { close(): Promise<void> }[],
): WeightsFile {
  const close = async (): Promise<void> => {
    await Promise.all(handles.map((handle) => handle.close()));
  };
  const none = { notRebuilt: [], beside: [], absent: [] };
  return { ...none, ...content, close, [Symbol.asyncDispose]: close };
}
