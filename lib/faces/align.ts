import { checkInteger, checkNumber } from '../check.js';
import { CountenanceError } from '../errors.js';
import { decodeImage } from '../images/decode.js';
import type { ImageInput } from '../images/input.js';
import { awaitNative, nativeAddon } from '../load-native.js';
import type { RawImage } from '../types.js';
import {
  checkBox,
  checkPoints,
  type AffineMap,
  type FaceBox,
  type FivePoints,
  type Point,
} from './points.js';

/** Side of {@link alignmentTemplate}'s image. */
const templateSize = 112;

/**
 * Where ArcFace's alignment puts the five points in an image of 112 x 112 (Deng et al., "ArcFace", CVPR
 * 2019): face-recognition weights were trained on faces aligned like this.
 */
export const alignmentTemplate: FivePoints = [
  { x: 38.2946, y: 51.6963 },
  { x: 73.5318, y: 51.5014 },
  { x: 56.0252, y: 71.7366 },
  { x: 41.5493, y: 92.3655 },
  { x: 70.7299, y: 92.2041 },
];

/** Options of {@link alignFace}. */
export interface AlignOptions {
  /** Side of the square result in pixels. Default 112; the template is scaled with it. */
  readonly size?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link cropFace}. */
export interface CropOptions extends AlignOptions {
  /** Margin on each side of the box, as a fraction of its longer side. Default 0.1. */
  readonly margin?: number;
}

/**
 * Rotates, scales and moves a face so that its eyes, nose and mouth match {@link alignmentTemplate}: the
 * least-squares similarity transform (Umeyama, IEEE TPAMI 13(4), 1991), never a reflection. Sampling is
 * bilinear and antialiased; what is outside the image is black. Runs off the main thread.
 *
 * @param points in pixels of the decoded image, after EXIF orientation
 * @returns 8-bit RGB, `size` x `size`
 * @throws CountenanceError what {@link decodeImage} throws; ERR_INVALID_ARGUMENT, ERR_NOT_FINITE for points
 *   that are not five points of a plane
 * @example
 * const face = await alignFace('photo.jpg', [leftEye, rightEye, nose, leftMouth, rightMouth]);
 * const { label } = await predictor.predict(face);
 */
export async function alignFace(
  image: ImageInput,
  points: FivePoints,
  options: AlignOptions = {},
): Promise<RawImage> {
  const size = checkInteger(options.size ?? templateSize, 'size', 1, 4096);
  const scale = size / templateSize;
  const target = alignmentTemplate.map(({ x, y }) => ({ x: x * scale, y: y * scale }));
  return warp(image, similarity(target, checkPoints(points)), size, options.signal);
}

/**
 * Crops a square around a box, without rotation, for detectors that give no landmarks.
 *
 * @returns 8-bit RGB, `size` x `size`; black outside the image
 * @throws CountenanceError as {@link alignFace}
 * @example
 * const face = await cropFace('photo.jpg', { left: 80, top: 40, width: 120, height: 150 });
 */
export async function cropFace(
  image: ImageInput,
  box: FaceBox,
  options: CropOptions = {},
): Promise<RawImage> {
  const margin = checkNumber(options.margin ?? 0.1, 'margin', [0, 4]);
  const size = checkInteger(options.size ?? templateSize, 'size', 1, 4096);
  const { left, top, width, height } = checkBox(box);
  const side = Math.max(width, height) * (1 + 2 * margin);
  const step = side / size;
  const map: AffineMap = [
    ...[step, 0, left + (width - side) / 2],
    ...[0, step, top + (height - side) / 2],
  ] as unknown as AffineMap;
  return warp(image, map, size, options.signal);
}

async function warp(
  image: ImageInput,
  map: AffineMap,
  size: number,
  signal: AbortSignal | undefined,
): Promise<RawImage> {
  const { data, width, height } = await decodeImage(image, { signal });
  const warped = await awaitNative(() =>
    nativeAddon().warp(data, width, height, size, Float32Array.from(map)),
  );
  return { data: warped, width: size, height: size };
}

/**
 * The least-squares similarity transform from `from` to `to`. In the plane, with both centred, it is the
 * complex number a + b i = sum conj(from) to / sum |from|^2, and it never reflects.
 */
export function similarity(from: readonly Point[], to: readonly Point[]): AffineMap {
  const centre = (points: readonly Point[]): Point => ({
    x: points.reduce((sum, { x }) => sum + x, 0) / points.length,
    y: points.reduce((sum, { y }) => sum + y, 0) / points.length,
  });
  const [f, t] = [centre(from), centre(to)];
  let a = 0;
  let b = 0;
  let square = 0;
  from.forEach((point, i) => {
    const [x, y] = [point.x - f.x, point.y - f.y];
    const [u, v] = [to[i]!.x - t.x, to[i]!.y - t.y];
    a += x * u + y * v;
    b += x * v - y * u;
    square += x * x + y * y;
  });
  a /= square;
  b /= square;
  if (!(Math.hypot(a, b) > 1e-9)) {
    throw new CountenanceError(
      'ERR_INVALID_ARGUMENT',
      'The points do not span a face: they coincide or are mirrored',
    );
  }
  return [a, -b, t.x - a * f.x + b * f.y, b, a, t.y - b * f.x - a * f.y];
}
