import { invalidArgument } from '../check.js';
import { CountenanceError } from '../errors.js';

/** A point in an image, in pixels from the left and top edges; the first pixel's centre is at 0.5. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/**
 * The five landmarks of face alignment, left and right as seen in the image: left eye, right eye (their
 * centres), tip of the nose, left and right corner of the mouth.
 */
export type FivePoints = readonly [Point, Point, Point, Point, Point];

/** A rectangle in an image, in pixels; it may extend beyond the image's edges. */
export interface FaceBox {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * From output to input coordinates: `x' = m[0] x + m[1] y + m[2]`, `y' = m[3] x + m[4] y + m[5]`.
 */
export type AffineMap = readonly [number, number, number, number, number, number];

/** @throws CountenanceError ERR_INVALID_ARGUMENT, ERR_NOT_FINITE */
export function checkPoints(points: FivePoints): FivePoints {
  if (!Array.isArray(points) || points.length !== 5) {
    throw invalidArgument('five points { x, y }', 'points', points);
  }
  const names = ['left eye', 'right eye', 'nose', 'left mouth corner', 'right mouth corner'];
  points.forEach((point: Partial<Point> | null, i) => {
    if (typeof point?.x !== 'number' || typeof point.y !== 'number') {
      throw invalidArgument('a point { x, y }', `the ${names[i]!}`, point);
    }
    if (!Number.isFinite(point.x) || !Number.isFinite(point.y)) {
      throw new CountenanceError('ERR_NOT_FINITE', `The ${names[i]!} is at ${point.x}, ${point.y}`);
    }
  });
  return points;
}

/** @throws CountenanceError ERR_INVALID_ARGUMENT */
export function checkBox(box: FaceBox): FaceBox {
  const { left, top, width, height } = box;
  if (![left, top, width, height].every(Number.isFinite) || width <= 0 || height <= 0) {
    throw new CountenanceError(
      'ERR_INVALID_ARGUMENT',
      `Expected a box of finite numbers with a positive width and height ` +
        `but received left ${left}, top ${top}, width ${width}, height ${height}`,
    );
  }
  return box;
}
