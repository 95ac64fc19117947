import { CountenanceError } from '../errors.js';
import type { RawImage } from '../types.js';

/** A rectangle in pixels of an image; it may extend beyond its edges. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * The part of an image inside `box`, clipped at the image's edges. Fractions are rounded outwards.
 *
 * @throws CountenanceError ERR_IMAGE_SIZE if the box contains no pixel of the image
 */
export function cropImage({ data, width, height }: RawImage, box: Box): RawImage {
  const left = Math.max(0, Math.floor(box.left));
  const top = Math.max(0, Math.floor(box.top));
  const right = Math.min(width, Math.ceil(box.left + box.width));
  const bottom = Math.min(height, Math.ceil(box.top + box.height));
  if (!(right > left && bottom > top)) {
    const { left: x, top: y, width: w, height: h } = box;
    throw new CountenanceError(
      'ERR_IMAGE_SIZE',
      `the box at (${x}, ${y}) of ${w} x ${h} pixels is outside the image of ${width} x ${height}`,
    );
  }
  if (right - left === width && bottom - top === height) return { data, width, height };
  const rowBytes = (right - left) * 3;
  const cropped = new Uint8Array(rowBytes * (bottom - top));
  for (let y = top; y < bottom; y++) {
    const from = (y * width + left) * 3;
    cropped.set(data.subarray(from, from + rowBytes), (y - top) * rowBytes);
  }
  return { data: cropped, width: right - left, height: bottom - top };
}
