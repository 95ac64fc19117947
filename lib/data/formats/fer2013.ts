import { CountenanceError } from '../../errors.js';
import { kindOf } from '../../files.js';
import { fer2013Classes } from '../classes.js';
import { fileDataset, type Dataset } from '../dataset.js';
import type { DataSpec } from '../spec.js';
import {
  fer2013Side,
  fer2013Usages,
  findFer2013File,
  parseFer2013Pixels,
  readFer2013Rows,
  type Fer2013Row,
} from './fer2013-file.js';
import { grayImages } from './fer2013-pixels.js';
import { rejectImage, requireSplit, type DataFormat, type OpenOptions } from './format.js';

const splits = ['train', 'valid', 'test'] as const;

/**
 * FER2013 (I. J. Goodfellow et al., ICONIP 2013, arXiv 1307.0414) with its own labels: `fer2013.csv` (or
 * `icml_face_data.csv`, or the contest's `train.csv`, which has no usages and is all of `train`), or the
 * directory that contains it, `emotion,pixels,Usage`; usages Training, PublicTest (valid) and
 * PrivateTest (test).
 */
export const fer2013Format: DataFormat = {
  name: 'fer2013',
  summary: 'FER2013 with its own labels: fer2013.csv or icml_face_data.csv',
  example: 'fer2013:fer2013.csv#train',
  options: [],
  splits: () => splits,
  open: openFer2013,
};

async function openFer2013(spec: DataSpec, options: OpenOptions): Promise<Dataset> {
  const usage = fer2013Usages[requireSplit(spec, splits)];
  const isDirectory = (await kindOf(spec.path)) === 'directory';
  const file = isDirectory ? await findFer2013File(spec.path) : spec.path;
  const names: string[] = [];
  const labels: number[] = [];
  const images: Uint8Array[] = [];
  let withoutUsage = 0;
  for await (const part of readFer2013Rows(file, options.signal)) {
    for (const row of part) {
      if (row.usage === '') withoutUsage += 1;
      if ((row.usage || fer2013Usages.train) !== usage) continue;
      try {
        const label = labelOf(file, row);
        const gray = new Uint8Array(fer2013Side * fer2013Side);
        parseFer2013Pixels(file, row, gray);
        names.push(`${file}, line ${row.line}`);
        labels.push(label);
        images.push(gray);
      } catch (error) {
        if (!(error instanceof CountenanceError)) throw error;
        rejectImage(options, error);
      }
    }
  }
  const notes =
    withoutUsage === 0 ? [] : [`${withoutUsage} images without a usage are of the split train`];
  const pixels = grayImages(Buffer.concat(images));
  return {
    ...fileDataset({ name: spec.text, classes: fer2013Classes, files: names, labels, notes }),
    load: (index) => pixels.load(index),
  };
}

function labelOf(file: string, { emotion, line }: Fer2013Row): number {
  const label = /^\d$/.test(emotion) ? Number(emotion) : NaN;
  if (label < fer2013Classes.length) return label;
  throw new CountenanceError(
    'ERR_LABEL_RANGE',
    `'${file}', line ${line}: emotion '${emotion.slice(0, 40)}' is not in 0..6`,
  );
}
