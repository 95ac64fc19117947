import { invalidArgument } from '../check.js';
import { CountenanceError, throwIfAborted } from '../errors.js';
import { alignFace, cropFace } from '../faces/align.js';
import type { DetectedFace, FaceDetector } from '../faces/detector.js';
import { checkBox, type FaceBox, type FivePoints } from '../faces/points.js';
import { decodeImage, type DecodeOptions } from '../images/decode.js';
import type { ImageInput } from '../images/input.js';
import type { RawImage } from '../types.js';
import type { Prediction } from './prediction.js';

/** A face of an image and what the model says of it. */
export interface FacePrediction extends Prediction {
  /** Where the face is, in pixels of the image as decoded. */
  readonly box: FaceBox;
  /** The detector's confidence, where it told one. */
  readonly detectionScore?: number;
  /** The landmarks it was aligned by; absent where it was only cut out. */
  readonly points?: FivePoints;
}

/** A face of an image, ready for the network. */
export interface CutFace {
  readonly face: DetectedFace;
  readonly image: RawImage;
}

/** @throws CountenanceError ERR_INVALID_ARGUMENT */
export function checkDetector(detector: FaceDetector | undefined): FaceDetector | undefined {
  if (detector !== undefined && typeof (detector as Partial<FaceDetector>)?.detect !== 'function') {
    throw invalidArgument('a detector with a method detect(image)', 'faces', detector);
  }
  return detector;
}

/**
 * The faces of an image as squares of `size` pixels, largest first: aligned where the detector tells
 * landmarks, otherwise cut out with a margin.
 */
export async function cutFaces(
  detector: FaceDetector,
  image: ImageInput,
  size: number,
  options: DecodeOptions & { readonly name: string },
): Promise<CutFace[]> {
  const { name, signal } = options;
  const decoded = await decodeImage(image, options);
  throwIfAborted(signal, 'The prediction');
  const found = await detector.detect(decoded, { signal });
  throwIfAborted(signal, 'The prediction');
  if (!Array.isArray(found)) {
    throw invalidArgument('an array of faces', `what the detector found in ${name}`, found);
  }
  const area = ({ box: { width, height } }: DetectedFace): number => width * height;
  const faces = (found as DetectedFace[]).map(checkFace).sort((a, b) => area(b) - area(a));
  return Promise.all(
    faces.map(async (face) => ({
      face,
      image: await (face.points
        ? alignFace(decoded, face.points, { size, signal })
        : cropFace(decoded, face.box, { size, signal })),
    })),
  );
}

function checkFace(face: DetectedFace): DetectedFace {
  const candidate = face as Partial<DetectedFace> | null;
  if (typeof candidate?.box !== 'object' || candidate.box === null) {
    throw new CountenanceError('ERR_INVALID_ARGUMENT', 'The detector gave a face without a box');
  }
  checkBox(candidate.box);
  return face;
}

/** What is told of a face: the prediction and where the face is. */
export function toFacePrediction<P extends Prediction>(
  face: DetectedFace,
  prediction: P,
): P & FacePrediction {
  const { box, score, points } = face;
  return {
    ...prediction,
    box,
    ...(score === undefined ? {} : { detectionScore: score }),
    ...(points === undefined ? {} : { points }),
  };
}
