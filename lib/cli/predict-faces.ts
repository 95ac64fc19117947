import { CountenanceError } from '../errors.js';
import { decodeImage } from '../images/decode.js';
import type { ImageFormat } from '../images/formats.js';
import type { FacePrediction } from '../predict/faces.js';
import type { Ranked } from '../predict/prediction.js';
import type { Predictor, RankOptions } from '../predict/predictor.js';
import type { RawImage } from '../types.js';
import type { Output } from './output.js';
import { PredictionColumns } from './prediction-columns.js';

/**
 * `countenance predict --faces`: every face of every photo, printed as one line per face for people and
 * one object per photo for programs.
 *
 * @param ranked `topK`, if requested
 * @param failed called for each photo that could not be read or on which the detector failed
 */
export async function predictFaces(
  predictor: Predictor,
  files: readonly string[],
  output: Output,
  ranked: Partial<RankOptions>,
  failed: (error: CountenanceError, index: number) => void,
): Promise<void> {
  const columns = new PredictionColumns(files, predictor.classes);
  for (const [index, file] of files.entries()) {
    if (output.closed) return;
    let faces: FacePrediction[];
    try {
      const photo = await readPhoto(file, predictor.formats);
      faces =
        ranked.topK === undefined
          ? await predictor.predictFaces(photo)
          : await predictor.predictFaces(photo, { topK: ranked.topK });
    } catch (error) {
      if (!(error instanceof CountenanceError) || !ofPhoto.has(error.code)) throw error;
      failed(error, index);
      continue;
    }
    output.record({ file, faces: faces.map(recordOf) });
    if (faces.length === 0) output.text(columns.line(file, 'no face'));
    for (const face of faces) {
      output.text(`${columns.prediction(file, face)}  ${describePlace(face)}`);
    }
  }
}

/** The error of one photo; any other error ends the command. */
const ofPhoto: ReadonlySet<string> = new Set([
  ...['ERR_FILE_NOT_FOUND', 'ERR_NOT_A_FILE', 'ERR_READ'],
  ...['ERR_IMAGE_DECODE', 'ERR_IMAGE_SIZE', 'ERR_IMAGE_CHANNELS', 'ERR_FACE_DETECTOR'],
]);

/** Errors from reading it name the file; pixels no longer have a name. */
async function readPhoto(
  file: string,
  formats: readonly ImageFormat[],
): Promise<RawImage & { readonly channels: 3 }> {
  return { ...(await decodeImage(file, { formats })), channels: 3 };
}

/** `at 120,64 size 96x118  face 0.97`. */
function describePlace({ box, detectionScore }: FacePrediction): string {
  const [left, top, width, height] = [box.left, box.top, box.width, box.height].map(Math.round);
  const place = `at ${left},${top} size ${width}x${height}`;
  return detectionScore === undefined ? place : `${place}  face ${detectionScore.toFixed(2)}`;
}

function recordOf(face: FacePrediction & Partial<Ranked>): Record<string, unknown> {
  const { box, detectionScore, points, label, score, scores, top, intensity } = face;
  const { neutralDistance, neutralSimilarity } = face;
  return {
    box,
    ...(detectionScore !== undefined && { detectionScore }),
    ...(points && { points }),
    ...{ label, score, scores },
    ...(top && { top }),
    ...{ intensity, neutralDistance, neutralSimilarity },
  };
}
