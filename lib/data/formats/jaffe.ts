import { join } from 'node:path';
import { CountenanceError, throwIfAborted } from '../../errors.js';
import { checkDirectory, kindOf } from '../../files.js';
import { fileDataset, type Dataset } from '../dataset.js';
import type { DataSpec } from '../spec.js';
import {
  foldOf,
  isImageName,
  namesIn,
  rejectImage,
  type DataFormat,
  type OpenOptions,
} from './format.js';

/** The class of each code in a file name, in alphabetical order of the codes. */
const codes = new Map([
  ['AN', 'anger'],
  ['DI', 'disgust'],
  ['FE', 'fear'],
  ['HA', 'happiness'],
  ['NE', 'neutral'],
  ['SA', 'sadness'],
  ['SU', 'surprise'],
]);
const classes = [...codes.values()];

/**
 * JAFFE (M. Lyons et al., 1998): `KA.AN1.39.tiff` is subject KA, anger, the first image of it, number 39.
 * Grey images of 256 x 256. `#fold3-train` and `#fold3-test` leave one subject out, in alphabetical order.
 */
export const jaffeFormat: DataFormat = {
  name: 'jaffe',
  summary: 'JAFFE as distributed (KA.AN1.39.tiff, ...); #fold1-train, ... leave one subject out',
  example: 'jaffe:jaffe#fold1-train',
  options: [],
  splits: () => [],
  open: openJaffe,
};

interface Sample {
  readonly file: string;
  readonly subject: string;
  readonly label: number;
}

async function openJaffe(spec: DataSpec, options: OpenOptions): Promise<Dataset> {
  await checkDirectory(spec.path, 'Data set directory');
  throwIfAborted(options.signal, `Opening '${spec.text}'`);
  const inner = join(spec.path, 'jaffe');
  const folder = (await kindOf(inner)) === 'directory' ? inner : spec.path;
  const samples = (await namesIn(folder))
    .filter(isImageName)
    .sort()
    .flatMap((name) => parseName(join(folder, name), name, options) ?? []);
  const subjects = [...new Set(samples.map(({ subject }) => subject))].sort();
  const fold = foldOf(spec, subjects.length);
  const chosen = fold
    ? samples.filter(({ subject }) => (subject === subjects[fold.index]) === fold.isTest)
    : samples;
  return fileDataset({
    name: spec.text,
    classes,
    files: chosen.map(({ file }) => file),
    labels: chosen.map(({ label }) => label),
    notes: [`${samples.length} images of ${subjects.length} subjects`],
  });
}

function parseName(file: string, name: string, options: OpenOptions): Sample | undefined {
  const [, subject, code] = /^([A-Z]{2})\.([A-Z]{2})\d+\.\d+\.\w+$/i.exec(name) ?? [];
  const label = classes.indexOf(codes.get(code?.toUpperCase() ?? '') ?? '');
  if (label >= 0) return { file, subject: subject!.toUpperCase(), label };
  const known = [...codes.keys()].join(', ');
  const problem = `'${file}' is not named like 'KA.AN1.39.tiff' with one of ${known}`;
  rejectImage(options, new CountenanceError('ERR_LABEL_RANGE', problem));
  return undefined;
}
