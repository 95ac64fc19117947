import type { RawImage } from '../types.js';
import type { FaceBox, FivePoints } from './points.js';

/** A face that a detector found. */
export interface DetectedFace {
  /** In pixels of the image. */
  readonly box: FaceBox;
  /** The detector's confidence, 0..1, if it gives one. */
  readonly score?: number;
  /** With points the face is aligned (`alignFace`), without them it is cropped (`cropFace`). */
  readonly points?: FivePoints | undefined;
}

/**
 * Anything that finds faces in an image: the one method that a predictor needs. Calls may run concurrently.
 *
 * @example
 * const whole: FaceDetector = {
 *   detect: async ({ width, height }) => [{ box: { left: 0, top: 0, width, height } }],
 * };
 */
export interface FaceDetector {
  /**
   * @param image 8-bit RGB, rows from top to bottom
   * @returns the faces in any order; an empty array if there is none
   */
  detect(
    image: RawImage,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<readonly DetectedFace[]>;
}
