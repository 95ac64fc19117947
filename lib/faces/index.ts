/**
 * Faces in photos: alignment and detectors.
 *
 * @packageDocumentation
 */
export {
  alignFace,
  alignmentTemplate,
  cropFace,
  type AlignOptions,
  type CropOptions,
} from './align.js';
export type { DetectedFace, FaceDetector } from './detector.js';
export { humanDetector, type HumanLike } from './human.js';
export { openHumanDetector, type HumanOptions } from './human-package.js';
export type { FaceBox, FivePoints, Point } from './points.js';
