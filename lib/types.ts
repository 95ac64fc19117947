import { CountenanceError } from './errors.js';

/** A dense tensor in row-major order: `data.length` is the product of `shape`. */
export interface TensorData {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Tensors by name, in the order of the model (PyTorch's state-dict names and layouts). */
export type StateDict = Map<string, TensorData>;

/** A decoded image: 8-bit RGB, rows from top to bottom, `data.length = width * height * 3`. */
export interface RawImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/**
 * Rejects a tensor with more or fewer values than its shape requires.
 *
 * @param called its name in the message
 * @throws CountenanceError ERR_SHAPE_MISMATCH
 */
export function checkElements({ shape, data }: TensorData, called: string): void {
  if (elementCount(shape) === data.length) return;
  throw new CountenanceError(
    'ERR_SHAPE_MISMATCH',
    `Tensor ${called} has shape [${shape.join(', ')}] but ${data.length} values`,
  );
}
