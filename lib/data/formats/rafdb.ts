import { join } from 'node:path';
import { CountenanceError } from '../../errors.js';
import { checkDirectory, kindOf, readTextFile } from '../../files.js';
import { rafdbClasses } from '../classes.js';
import { fileDataset, type Dataset } from '../dataset.js';
import { badSpec, type DataSpec } from '../spec.js';
import {
  badFile,
  namesIn,
  rejectImage,
  requireSplit,
  type DataFormat,
  type OpenOptions,
} from './format.js';

const splits = ['train', 'test'] as const;

/** The misspelling is from the data set. */
const labelFile = 'list_patition_label.txt';

/**
 * RAF-DB basic: `Image/aligned/train_00001_aligned.jpg` and `[EmoLabel/]list_patition_label.txt` with
 * lines "train_00001.jpg 5", labels 1..7.
 */
export const rafdbFormat: DataFormat = {
  name: 'rafdb',
  summary: 'RAF-DB basic as distributed (Image/aligned, list_patition_label.txt)',
  example: 'rafdb:RAF-DB/basic#train',
  options: [],
  splits: () => splits,
  open: openRafdb,
};

async function openRafdb(spec: DataSpec, options: OpenOptions): Promise<Dataset> {
  const split = requireSplit(spec, splits);
  await checkDirectory(spec.path, 'Data set directory');
  const { root, labels: list } = await findLayout(spec);
  const images = join(root, 'Image', 'aligned');
  const present = new Set(await namesIn(images));

  const text = await readTextFile(list, 'Label file');
  const files: string[] = [];
  const labels: number[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const match = /^(\S+)\.jpg\s+(-?\d+)\s*$/.exec(line.trim());
    if (!match)
      throw badFile(list, `line ${i + 1} is not like 'train_00001.jpg 5': '${line.trim()}'`);
    const [, name, label] = match;
    if (!name!.startsWith(`${split}_`)) continue;
    const file = `${name!}_aligned.jpg`;
    if (!present.has(file)) {
      const problem = `Image '${join(images, file)}' of '${list}', line ${i + 1}, does not exist`;
      rejectImage(options, new CountenanceError('ERR_FILE_NOT_FOUND', problem));
      continue;
    }
    const value = Number(label);
    if (value < 1 || value > rafdbClasses.length) {
      const problem = `'${list}', line ${i + 1}: label ${value} is not in 1..7`;
      rejectImage(options, new CountenanceError('ERR_LABEL_RANGE', problem));
      continue;
    }
    files.push(join(images, file));
    labels.push(value - 1);
  }
  return fileDataset({ name: spec.text, classes: rafdbClasses, files, labels });
}

/** The given directory may be RAF-DB's `basic` or the one above it. */
async function findLayout(spec: DataSpec): Promise<{ root: string; labels: string }> {
  for (const root of [spec.path, join(spec.path, 'basic')]) {
    if ((await kindOf(join(root, 'Image', 'aligned'))) !== 'directory') continue;
    for (const labels of [join(root, labelFile), join(root, 'EmoLabel', labelFile)]) {
      if ((await kindOf(labels)) === 'file') return { root, labels };
    }
  }
  // As some archives have it: a folder for each label, without the list.
  if ((await kindOf(join(spec.path, 'train', '1'))) === 'directory') {
    const other = `folder:${spec.path}#${spec.split ?? 'train'},names=rafdb`;
    throw badSpec(spec.text, `it has a folder for each label instead of a list: use '${other}'`);
  }
  throw badSpec(
    spec.text,
    `'${spec.path}' has no Image/aligned folder next to ${labelFile} (or EmoLabel/${labelFile})`,
  );
}
