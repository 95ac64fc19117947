import { join, sep } from 'node:path';
import { CountenanceError, throwIfAborted } from '../../errors.js';
import { fileDataset, type Dataset } from '../dataset.js';
import { badSpec, type DataSpec } from '../spec.js';
import type { AffectnetCodes } from './affectnet-codes.js';
import { isImageName, namesIn, rejectImage, type OpenOptions } from './format.js';
import { readNpyInteger } from './npy-integer.js';

const suffix = '_exp.npy';

/** Label files read at a time: there is one per image, 290,000 in all. */
const readsAtOnce = 32;

/** AffectNet as `SET/images/ID.jpg` with `SET/annotations/ID_exp.npy`. */
export async function openAnnotated(
  spec: DataSpec,
  set: string,
  codes: AffectnetCodes,
  options: OpenOptions,
): Promise<Dataset> {
  const images = join(set, 'images');
  const annotations = join(set, 'annotations');
  const imageOf = new Map<string, string>();
  for (const name of await namesIn(images)) {
    if (isImageName(name)) imageOf.set(name.slice(0, name.lastIndexOf('.')), name);
  }
  const labelled = (await namesIn(annotations))
    .filter((name) => name.endsWith(suffix))
    .map((name) => name.slice(0, -suffix.length))
    .sort(byNumber);
  if (labelled.length === 0) throw badSpec(spec.text, `'${annotations}' contains no *${suffix}`);

  const outcomes = await readLabels(annotations, labelled, codes, options.signal);
  const files: string[] = [];
  const labels: number[] = [];
  for (const [i, id] of labelled.entries()) {
    const outcome = outcomes[i];
    const image = imageOf.get(id);
    imageOf.delete(id);
    if (outcome instanceof CountenanceError) {
      rejectImage(options, outcome);
    } else if (image === undefined) {
      const missing = `Image '${images}${sep}${id}.jpg' of '${annotations}${sep}${id}${suffix}'`;
      rejectImage(options, new CountenanceError('ERR_FILE_NOT_FOUND', `${missing} does not exist`));
    } else if (outcome !== undefined) {
      files.push(`${images}${sep}${image}`);
      labels.push(outcome);
    }
  }
  for (const [id, image] of imageOf) {
    const label = `${annotations}${sep}${id}${suffix}`;
    const problem = `Label file '${label}' of '${images}${sep}${image}' does not exist`;
    rejectImage(options, new CountenanceError('ERR_FILE_NOT_FOUND', problem));
  }
  const { classes, notes } = codes;
  return fileDataset({ name: spec.text, classes, files, labels, notes });
}

/** For each id its label, undefined if it has none of the classes, or the error of its file. */
async function readLabels(
  annotations: string,
  ids: readonly string[],
  codes: AffectnetCodes,
  signal: AbortSignal | undefined,
): Promise<(number | undefined | CountenanceError)[]> {
  const outcomes = new Array<number | undefined | CountenanceError>(ids.length);
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < ids.length) {
      throwIfAborted(signal, `Reading '${annotations}'`);
      const i = next++;
      const file = `${annotations}${sep}${ids[i]!}${suffix}`;
      try {
        outcomes[i] = codes.label(await readNpyInteger(file), `'${file}'`);
      } catch (error) {
        if (!(error instanceof CountenanceError)) throw error;
        outcomes[i] = error;
      }
    }
  };
  await Promise.all(Array.from({ length: readsAtOnce }, work));
  return outcomes;
}

/** `9` before `10`; the same on every machine. */
function byNumber(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : Number(a > b));
}
