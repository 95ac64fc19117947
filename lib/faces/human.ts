import { invalidArgument } from '../check.js';
import { CountenanceError } from '../errors.js';
import type { RawImage } from '../types.js';
import type { DetectedFace, FaceDetector } from './detector.js';
import type { FivePoints, Point } from './points.js';

/** The part of an instance of `@vladmandic/human` that is used; recognised by structure. */
export interface HumanLike {
  readonly tf: {
    tensor3d(
      values: Uint8Array,
      shape: [number, number, number],
      dtype: 'int32',
    ): { dispose(): void };
  };
  detect(input: never): Promise<{
    readonly error?: string | null;
    readonly face: readonly {
      readonly box: readonly number[];
      readonly boxScore?: number;
      readonly score?: number;
      readonly mesh?: readonly (readonly number[])[];
    }[];
  }>;
}

/** Indices of points in MediaPipe's face mesh; left and right as seen in the image. */
const mesh = {
  size: 468,
  leftEye: [33, 133],
  rightEye: [362, 263],
  nose: [1],
  leftMouth: [61],
  rightMouth: [291],
} as const;

/**
 * Finds faces with [`@vladmandic/human`](https://github.com/vladmandic/human), which you install, configure
 * and load: its detector, and its face mesh if enabled, so that faces are aligned rather than only cropped.
 * Calls run one after another, as Human requires. By default Human looks for one face only and reuses the
 * result of an image for those that follow soon after: see the example. {@link openHumanDetector} does all
 * this for you.
 *
 * @throws CountenanceError ERR_INVALID_ARGUMENT; from `detect` ERR_FACE_DETECTOR
 * @example
 * import { Human } from '@vladmandic/human';
 * const human = new Human({
 *   modelBasePath: 'file://node_modules/@vladmandic/human/models/',
 *   cacheSensitivity: 0, // each image is a new one
 *   face: { enabled: true, detector: { maxDetected: 100, rotation: true } },
 * });
 * await human.load();
 * const predictor = await Predictor.load('my-model', { faces: humanDetector(human) });
 * for (const { box, label } of await predictor.predictFaces('group.jpg')) console.log(box, label);
 */
export function humanDetector(human: HumanLike): FaceDetector {
  const candidate = human as Partial<HumanLike> | null;
  if (typeof candidate?.detect !== 'function' || typeof candidate.tf?.tensor3d !== 'function') {
    throw invalidArgument("an instance of '@vladmandic/human'", 'human', human);
  }
  let last: Promise<unknown> = Promise.resolve();
  return {
    detect(image) {
      const result = last.then(() => detect(human, image));
      last = result.catch(() => undefined);
      return result;
    },
  };
}

async function detect(human: HumanLike, image: RawImage): Promise<DetectedFace[]> {
  const { data, width, height } = image;
  const tensor = human.tf.tensor3d(data, [height, width, 3], 'int32');
  try {
    const { face, error } = await human.detect(tensor as never);
    if (error) throw new CountenanceError('ERR_FACE_DETECTOR', `Human failed: ${error}`);
    return face.map(({ box, boxScore, score, mesh: points }) => {
      const [left = 0, top = 0, boxWidth = 0, boxHeight = 0] = box;
      const confidence = boxScore ?? score;
      return {
        box: { left, top, width: boxWidth, height: boxHeight },
        ...(confidence === undefined ? {} : { score: confidence }),
        points: fivePoints(points ?? []),
      };
    });
  } finally {
    tensor.dispose();
  }
}

/** Needs the whole mesh: the detector alone gives no corners of the mouth. */
function fivePoints(points: readonly (readonly number[])[]): FivePoints | undefined {
  if (points.length < mesh.size) return undefined;
  const mean = (indices: readonly number[]): Point => ({
    x: indices.reduce((sum, i) => sum + points[i]![0]!, 0) / indices.length,
    y: indices.reduce((sum, i) => sum + points[i]![1]!, 0) / indices.length,
  });
  const { leftEye, rightEye, nose, leftMouth, rightMouth } = mesh;
  return [mean(leftEye), mean(rightEye), mean(nose), mean(leftMouth), mean(rightMouth)];
}
