import { invalidArgument } from '../check.js';
import { CountenanceError } from '../errors.js';
import { isTensorLike, type TensorLike } from '../images/input.js';
import { quantise } from '../images/pixels.js';
import { asBytes, asFloats } from '../realm.js';

/** Images in NCHW order: (B, 3, S, S), already normalised. */
export interface PlanarImages {
  readonly data: Float32Array;
  readonly layout: 'NCHW';
}

/**
 * A batch for a network of input size S: uint8 RGB (B, S, S, 3), or float32 of the same order already
 * normalised, or float32 in PyTorch's NCHW order.
 */
export type ImageBatch = Uint8Array | Uint8ClampedArray | Float32Array | PlanarImages;

/**
 * A batch as the addon takes it, NHWC, and its size.
 *
 * @throws CountenanceError ERR_INVALID_ARGUMENT, ERR_SHAPE_MISMATCH
 */
export function toBatch(
  images: ImageBatch,
  inputSize: number,
): { readonly images: Uint8Array | Float32Array; readonly size: number } {
  const values = isPlanar(images) ? images.data : images;
  const own = asBytes(values) ?? asFloats(values);
  if (!own) {
    throw invalidArgument(
      "a Uint8Array, a Float32Array or { data: Float32Array, layout: 'NCHW' }",
      'images',
      values,
    );
  }
  const perImage = inputSize * inputSize * 3;
  const size = own.length / perImage;
  if (size === 0 || !Number.isInteger(size)) {
    throw new CountenanceError(
      'ERR_SHAPE_MISMATCH',
      `Expected one or more images of ${inputSize} x ${inputSize} x 3 = ${perImage} values ` +
        `but received ${own.length} values`,
    );
  }
  if (!isPlanar(images)) return { images: own, size };
  return { images: interleave(own, size, inputSize), size };
}

/** True for a TensorFlow.js tensor. */
export function isTensor(images: unknown): images is TensorLike {
  return typeof images === 'object' && images !== null && isTensorLike(images);
}

/**
 * A tensor (B, S, S, 3) as an array: int32 holds 0..255, float32 is normalised already, as with arrays.
 * The tensor is not disposed.
 *
 * @throws CountenanceError ERR_SHAPE_MISMATCH, ERR_INVALID_ARGUMENT
 */
export async function readTensor(
  tensor: TensorLike,
  inputSize: number,
): Promise<Uint8Array | Float32Array> {
  const { shape, dtype } = tensor;
  if (shape.length !== 4 || shape.slice(1).join() !== `${inputSize},${inputSize},3`) {
    throw new CountenanceError(
      'ERR_SHAPE_MISMATCH',
      `Expected a tensor of shape [B, ${inputSize}, ${inputSize}, 3] for images ` +
        `but received [${shape.join(', ')}]`,
    );
  }
  if (dtype !== 'int32' && dtype !== 'float32') {
    throw invalidArgument('a tensor of int32 (0..255) or float32 (normalised)', 'images', dtype);
  }
  const values = await tensor.data();
  return dtype === 'int32' ? quantise(values, 'The tensor of images') : Float32Array.from(values);
}

function isPlanar(images: ImageBatch): images is PlanarImages {
  if (ArrayBuffer.isView(images) || typeof images !== 'object' || images === null) return false;
  const { layout } = images as { layout: unknown };
  if (layout === 'NCHW') return true;
  throw invalidArgument("'NCHW'", 'the layout of images', layout);
}

/** (B, 3, S, S) -> (B, S, S, 3) */
function interleave(planar: ArrayLike<number>, size: number, inputSize: number): Float32Array {
  const plane = inputSize * inputSize;
  const out = new Float32Array(planar.length);
  for (let b = 0; b < size; b++) {
    for (let c = 0; c < 3; c++) {
      const from = (b * 3 + c) * plane;
      const to = b * plane * 3 + c;
      for (let i = 0; i < plane; i++) out[to + i * 3] = planar[from + i]!;
    }
  }
  return out;
}
