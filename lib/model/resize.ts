import { CountenanceError } from '../errors.js';
import { awaitNative, nativeAddon } from '../load-native.js';
import type { RawImage, ResizeImage } from '../types.js';

/** Longest side the native resize takes. */
const maximumSide = 32_768;

/** Pillow's antialiased bilinear resize to a square, off the main thread. */
export const resizeImage: ResizeImage = async ({ data, width, height }: RawImage, size: number) => {
  if (width === size && height === size) return data;
  if (width > maximumSide || height > maximumSide) {
    throw new CountenanceError(
      'ERR_IMAGE_SIZE',
      `An image of ${width} x ${height} has a side of more than ${maximumSide} pixels`,
    );
  }
  return awaitNative(() => nativeAddon().resize(data, width, height, size));
};
