import { CountenanceError } from '../errors.js';
import { awaitNative, nativeAddon } from '../load-native.js';
import type { RawImage, ResizeImage } from '../types.js';

/** Longest side the native resize takes. */
const maximumSide = 32_768;

/** Pillow's antialiased bilinear resize to a square, off the main thread. */
export const resizeImage: ResizeImage = async (image: RawImage, size: number) => {
  const { data, width, height } = image;
  if (width === size && height === size) return data;
  checkResizable(image);
  return awaitNative(() => nativeAddon().resize(data, width, height, size));
};

/**
 * Refuses an image with a side that no resize takes, on the host or on a GPU.
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
