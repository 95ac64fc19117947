import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CountenanceError, messageOf } from '../errors.js';
import type { FaceDetector } from '../faces/detector.js';
import { openHumanDetector } from '../faces/human-package.js';
import { checkIsFile } from '../files.js';
import { importFile } from './import-file.cjs';

/**
 * Opens what `--faces` names: `human`, or a module whose default export is a detector or a function that
 * returns one. Errors of the detector become ERR_FACE_DETECTOR.
 *
 * @throws CountenanceError ERR_FACE_DETECTOR, ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, and what
 *   {@link openHumanDetector} throws
 */
export async function openDetector(name: string): Promise<FaceDetector> {
  if (name === 'human') return openHumanDetector();
  await checkIsFile(name, 'Face detector');
  let detector: unknown;
  try {
    detector = unwrap((await importFile(pathToFileURL(resolve(name)).href)).default);
    if (typeof detector === 'function') detector = await (detector as () => unknown)();
  } catch (error) {
    throw failure(name, 'does not load', error);
  }
  if (typeof (detector as Partial<FaceDetector> | undefined)?.detect !== 'function') {
    throw new CountenanceError(
      'ERR_FACE_DETECTOR',
      `Face detector '${name}' should export by default an object with a method detect(image), or a ` +
        'function that gives one',
    );
  }
  const given = detector as FaceDetector;
  return {
    async detect(image, options) {
      try {
        return await given.detect(image, options);
      } catch (error) {
        throw failure(name, 'failed', error);
      }
    },
  };
}

/** A module compiled to CommonJS has its default export inside another default export. */
function unwrap(exported: unknown): unknown {
  const inner = (exported as { __esModule?: boolean; default?: unknown } | undefined)?.__esModule;
  return inner ? (exported as { default?: unknown }).default : exported;
}

function failure(name: string, what: string, error: unknown): CountenanceError {
  if (error instanceof CountenanceError) return error;
  const message = `Face detector '${name}' ${what}: ${messageOf(error)}`;
  return new CountenanceError('ERR_FACE_DETECTOR', message, { cause: error });
}
