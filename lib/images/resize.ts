import { CountenanceError } from '../errors.js';
import { awaitNative, nativeAddon } from '../load-native.js';
import type { RawImage } from '../types.js';

/** Longest side that the native resize accepts. */
const maximumSide = 32_768;

/**
 * Resizes a decoded image to `size` x `size` with Pillow's antialiased bilinear filter, off the main
 * thread.
 *
 * @returns RGB of `size * size * 3` bytes; the image's own data if it already has that size
 * @throws CountenanceError ERR_IMAGE_SIZE above 32,768 pixels per side; ERR_SHAPE_MISMATCH if the length of
 *   the data does not match width and height
 */
export async function resizeImage(image: RawImage, size: number): Promise<Uint8Array> {
  const { data, width, height } = image;
  if (width === size && height === size) {
    const expected = size * size * 3;
    if (data.length === expected) return data;
    throw new CountenanceError(
      'ERR_SHAPE_MISMATCH',
      `Expected ${expected} bytes for an RGB image of ${size} x ${size} but received ${data.length}`,
    );
  }
  checkResizable(image);
  return awaitNative(() => nativeAddon().resize(data, width, height, size));
}

/**
 * Rejects an image with a side that is too long to resize, on the host or on a GPU.
 *
 * @throws CountenanceError ERR_IMAGE_SIZE
 */
export function checkResizable({ width, height }: RawImage): void {
  if (width > maximumSide || height > maximumSide) {
    throw new CountenanceError(
      'ERR_IMAGE_SIZE',
      `An image of ${width} x ${height} has a side of more than ${maximumSide} pixels`,
    );
  }
}
