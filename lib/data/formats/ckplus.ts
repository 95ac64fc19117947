import { join } from 'node:path';
import { isIndex } from '../../check.js';
import { CountenanceError, throwIfAborted } from '../../errors.js';
import { checkDirectory, kindOf, readTextFile } from '../../files.js';
import { ckplusClasses } from '../classes.js';
import { fileDataset, type Dataset } from '../dataset.js';
import { badSpec, type DataSpec } from '../spec.js';
import {
  foldOf,
  isImageName,
  namesIn,
  rejectImage,
  type DataFormat,
  type OpenOptions,
} from './format.js';

const foldCount = 10;
const defaultFrames = 3;

/**
 * CK+ (P. Lucey et al., CVPR Workshops 2010): `cohn-kanade-images/S005/001/*.png`, sequences from a neutral
 * face to the peak of an expression, and `Emotion/S005/001/*_emotion.txt` with the codes of some of them.
 * The last three frames (`frames=N`) of a labelled sequence have its expression; the first frame is
 * neutral. `#fold3-train` and `#fold3-test` are one of the usual ten folds: in the order of their numbers,
 * every tenth subject is in the same fold, so that no person is on both sides.
 */
export const ckplusFormat: DataFormat = {
  name: 'ckplus',
  summary: 'CK+ sequences (cohn-kanade-images, Emotion); #fold1-train .. #fold10-test; frames=N',
  example: 'ckplus:CK+#fold1-train',
  options: ['frames'],
  splits: () => [],
  open: openCkplus,
};

interface Sequence {
  readonly subject: string;
  /** Images in temporal order. */
  readonly files: readonly string[];
  readonly label: number;
}

async function openCkplus(spec: DataSpec, options: OpenOptions): Promise<Dataset> {
  const fold = foldOf(spec, foldCount);
  const frames = parseFrames(spec);
  await checkDirectory(spec.path, 'Data set directory');
  const roots = await findRoots(spec);
  const { sequences, unlabelled } = await readSequences(roots, options);
  const subjects = [...new Set(sequences.map(({ subject }) => subject))].sort();

  const files: string[] = [];
  const labels: number[] = [];
  for (const sequence of sequences) {
    const isTest = subjects.indexOf(sequence.subject) % foldCount === (fold?.index ?? 0);
    if (fold && isTest !== fold.isTest) continue;
    const [first, ...later] = sequence.files;
    files.push(first!);
    labels.push(ckplusClasses.indexOf('neutral'));
    for (const file of later.slice(-frames)) {
      files.push(file);
      labels.push(sequence.label);
    }
  }
  const notes = [
    `${sequences.length} labelled sequences of ${subjects.length} subjects` +
      (fold ? `, cut into ${foldCount} folds by subject` : ''),
    ...(unlabelled > 0 ? [`${unlabelled} sequences without a label were left out`] : []),
  ];
  return fileDataset({ name: spec.text, classes: ckplusClasses, files, labels, notes });
}

function parseFrames(spec: DataSpec): number {
  const text = spec.options['frames'] ?? String(defaultFrames);
  const frames = Number(text);
  if (/^\d{1,3}$/.test(text) && frames > 0) return frames;
  throw badSpec(spec.text, `'${text}' is not a number of frames from 1 to 999`);
}

interface Roots {
  readonly images: string;
  readonly emotions: string;
}

async function findRoots(spec: DataSpec): Promise<Roots> {
  const first = async (...candidates: string[][]): Promise<string | undefined> => {
    for (const parts of candidates) {
      const path = join(spec.path, ...parts);
      if ((await kindOf(path)) === 'directory') return path;
    }
    return undefined;
  };
  const name = 'cohn-kanade-images';
  const images = await first([name], ['extended-cohn-kanade-images', name]);
  const emotions = await first(['Emotion'], ['Emotion_labels', 'Emotion'], ['Emotion_labels']);
  if (images !== undefined && emotions !== undefined) return { images, emotions };
  throw badSpec(spec.text, `'${spec.path}' has no ${name} and Emotion folders`);
}

/** All labelled sequences, subject by subject, and the number of unlabelled ones. */
async function readSequences(
  { images, emotions }: Roots,
  options: OpenOptions,
): Promise<{ readonly sequences: readonly Sequence[]; readonly unlabelled: number }> {
  const sequences: Sequence[] = [];
  let unlabelled = 0;
  for (const subject of await folders(emotions)) {
    throwIfAborted(options.signal, `Reading '${emotions}'`);
    for (const session of await folders(join(emotions, subject))) {
      const folder = join(emotions, subject, session);
      const file = (await namesIn(folder)).sort().find((name) => name.endsWith('_emotion.txt'));
      if (file === undefined) {
        unlabelled += 1;
        continue;
      }
      try {
        const label = await readLabel(join(folder, file));
        const files = await framesOf(join(images, subject, session));
        sequences.push({ subject, files, label });
      } catch (error) {
        if (!(error instanceof CountenanceError)) throw error;
        rejectImage(options, error);
      }
    }
  }
  return { sequences, unlabelled };
}

/** Folders, sorted by name. */
async function folders(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await namesIn(path)).sort()) {
    if (!name.startsWith('.') && (await kindOf(join(path, name))) === 'directory') found.push(name);
  }
  return found;
}

/** The code of an `_emotion.txt`, written like `   3.0000000e+00`. */
async function readLabel(file: string): Promise<number> {
  const text = (await readTextFile(file, 'Label file')).trim();
  const code = text === '' ? NaN : Number(text);
  if (isIndex(code, ckplusClasses.length)) return code;
  throw new CountenanceError(
    'ERR_LABEL_RANGE',
    `'${file}': emotion '${text.slice(0, 40)}' is not a code in 0..${ckplusClasses.length - 1}`,
  );
}

/** Images of a sequence in temporal order: their names end in the frame number. */
async function framesOf(folder: string): Promise<string[]> {
  const names = (await namesIn(folder)).filter(isImageName).sort();
  if (names.length >= 2) return names.map((name) => join(folder, name));
  throw new CountenanceError(
    'ERR_FILE_NOT_FOUND',
    `Sequence '${folder}' contains ${names.length} images; expected a neutral first image and later ones`,
  );
}
