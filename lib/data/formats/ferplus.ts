import { join, sep } from 'node:path';
import { describeValue } from '../../check.js';
import { CountenanceError, throwIfAborted } from '../../errors.js';
import { checkDirectory, firstFile, kindOf } from '../../files.js';
import { ferplusClasses } from '../classes.js';
import { readCsv, type CsvRow } from '../csv-reader.js';
import { fileDataset, type Dataset } from '../dataset.js';
import { badSpec, type DataSpec } from '../spec.js';
import { subset } from '../subset.js';
import { fer2013Usages, wholeFileNames } from './fer2013-file.js';
import { readFer2013Pixels, type Fer2013Pixels } from './fer2013-pixels.js';
import { ferplusModes, targetFromVotes, targetKindOf, type FerplusMode } from './ferplus-votes.js';
import { badFile, namesIn, requireSplit, type DataFormat, type OpenOptions } from './format.js';

const folders = { train: 'FER2013Train', valid: 'FER2013Valid', test: 'FER2013Test' } as const;
type Split = keyof typeof folders;
const splits = ['train', 'valid', 'test'] as const;

/**
 * FER+ in one of three layouts below DIR:
 * - FER2013Train, FER2013Valid, FER2013Test, each with `label.csv` next to its images
 * - the same folders of images, and `fer2013new.csv` in DIR
 * - `fer2013new.csv` and `fer2013.csv` (the pixels as text) in DIR
 */
export const ferplusFormat: DataFormat = {
  name: 'ferplus',
  summary: 'FER2013 images with the FER+ votes; mode=majority|probability|crossentropy',
  example: 'ferplus:FERPlus/data#train,mode=majority',
  options: ['mode'],
  splits: () => splits,
  open: openFerplus,
};

async function openFerplus(spec: DataSpec, options: OpenOptions): Promise<Dataset> {
  const split = requireSplit(spec, splits);
  const mode = (spec.options['mode'] ?? 'majority') as FerplusMode;
  if (!ferplusModes.includes(mode)) {
    throw badSpec(spec.text, `no mode '${mode}'; choose ${ferplusModes.join(', ')}`);
  }
  await checkDirectory(spec.path, 'Data set directory');
  const folder = join(spec.path, folders[split]);
  const hasFolder = (await kindOf(folder)) === 'directory';
  const ownLabels = join(folder, 'label.csv');
  const sharedLabels = join(spec.path, 'fer2013new.csv');

  const collector = new VoteCollector(mode);
  if (hasFolder && (await kindOf(ownLabels)) === 'file') {
    await readOwnLabels(ownLabels, collector, options);
    return imagesDataset(spec, folder, ownLabels, collector, options);
  }
  if ((await kindOf(sharedLabels)) === 'file') {
    if (hasFolder) {
      await readSharedLabels(sharedLabels, split, collector, options);
      return imagesDataset(spec, folder, sharedLabels, collector, options);
    }
    const pixels = await firstFile(wholeFileNames.map((name) => join(spec.path, name)));
    if (pixels !== undefined) {
      await readSharedLabels(sharedLabels, split, collector, options);
      const usage = fer2013Usages[split];
      const images = await readFer2013Pixels(pixels, collector.rows, usage, options.signal);
      return pixelsDataset(spec, pixels, images, collector);
    }
  }
  throw badSpec(
    spec.text,
    `'${spec.path}' contains neither ${folders[split]} with label.csv, nor fer2013new.csv with ` +
      `${folders[split]} or fer2013.csv`,
  );
}

/** Collects the images that have a target and counts the others. */
class VoteCollector {
  readonly names: string[] = [];
  /** Line of each image in the label file, and its row among the data rows (0 for the first). */
  readonly lines: number[] = [];
  readonly rows: number[] = [];
  readonly labels: number[] = [];
  readonly targets: number[] = [];
  dropped = 0;

  constructor(readonly mode: FerplusMode) {}

  add(name: string, line: number, row: number, votes: readonly number[]): void {
    const target = targetFromVotes(votes, this.mode);
    if (!target) {
      this.dropped += 1;
      return;
    }
    this.names.push(name);
    this.lines.push(line);
    this.rows.push(row);
    this.labels.push(target.indexOf(Math.max(...target)));
    if (this.mode !== 'majority') this.targets.push(...target);
  }

  /** The fields of {@link fileDataset} that do not depend on the layout. */
  fields(): Omit<Parameters<typeof fileDataset>[0], 'name' | 'files'> {
    const without = this.mode === 'majority' ? 'a majority label' : 'a clear label distribution';
    return {
      classes: ferplusClasses,
      labels: Uint8Array.from(this.labels),
      targets: this.mode === 'majority' ? undefined : new Float32Array(this.targets),
      targetKind: targetKindOf[this.mode],
      notes: [`${this.dropped} images without ${without} were left out (mode ${this.mode})`],
    };
  }
}

/** `label.csv`: image, box, ten votes; or the older form without a box. No header. */
async function readOwnLabels(
  file: string,
  collector: VoteCollector,
  options: OpenOptions,
): Promise<void> {
  let row = 0;
  for await (const rows of readCsv(file, 'Label file')) {
    throwIfAborted(options.signal, `Reading '${file}'`);
    for (const { line, fields } of rows) {
      if (fields.length !== 12 && fields.length !== 11) {
        throw badFile(
          file,
          `line ${line} has ${fields.length} fields; expected image, box, 10 votes`,
        );
      }
      collector.add(fields[0]!, line, row++, parseVotes(file, line, fields.slice(-10)));
    }
  }
}

const sharedHeader = ['usage', 'image name', ...ferplusClasses, 'unknown', 'nf'];

/** `fer2013new.csv`: usage, image name (empty for removed images), ten votes; one header line. */
async function readSharedLabels(
  file: string,
  split: Split,
  collector: VoteCollector,
  options: OpenOptions,
): Promise<void> {
  let header: CsvRow | undefined;
  let row = 0;
  for await (const rows of readCsv(file, 'Label file')) {
    throwIfAborted(options.signal, `Reading '${file}'`);
    for (const entry of rows) {
      const { line, fields } = entry;
      if (!header) {
        header = entry;
        const names = fields.map((name) => name.trim().toLowerCase());
        if (names.join() !== sharedHeader.join()) {
          throw badFile(
            file,
            `its header is ${fields.join(',')}; expected ${sharedHeader.join(',')}`,
          );
        }
        continue;
      }
      const index = row++;
      if (fields.length !== 12) {
        throw badFile(file, `line ${line} has ${fields.length} fields; expected 12`);
      }
      if (fields[0] !== fer2013Usages[split]) continue;
      const name = fields[1]!.trim();
      if (name === '') continue;
      collector.add(name, line, index, parseVotes(file, line, fields.slice(2)));
    }
  }
}

function parseVotes(file: string, line: number, fields: readonly string[]): number[] {
  const votes = fields.map((text) => (text.trim() === '' ? NaN : Number(text)));
  if (votes.some((vote) => !(vote >= 0 && Number.isFinite(vote)))) {
    throw new CountenanceError(
      'ERR_LABEL_RANGE',
      `'${file}', line ${line}: votes must be numbers of at least 0 but are ${describeValue(fields.join(','))}`,
    );
  }
  return votes;
}

async function imagesDataset(
  spec: DataSpec,
  folder: string,
  labelFile: string,
  collector: VoteCollector,
  { onProblem }: OpenOptions,
): Promise<Dataset> {
  const present = new Set(await namesIn(folder));
  const missing = collector.names.flatMap((name, i) => (present.has(name) ? [] : [i]));
  for (const i of missing) {
    const count = onProblem ? '' : ` (${missing.length} of ${collector.names.length} missing)`;
    const problem = new CountenanceError(
      'ERR_FILE_NOT_FOUND',
      `Image '${join(folder, collector.names[i]!)}' of '${labelFile}', line ` +
        `${collector.lines[i]!}, does not exist${count}`,
    );
    if (!onProblem) throw problem;
    onProblem(problem);
  }
  // A template string: 30,000 calls of join() would block the event loop.
  const files = collector.names.map((name) => `${folder}${sep}${name}`);
  const dataset = fileDataset({ name: spec.text, files, ...collector.fields() });
  if (missing.length === 0) return dataset;
  const kept = collector.names.flatMap((name, i) => (present.has(name) ? [i] : []));
  return subset(dataset, kept);
}

function pixelsDataset(
  spec: DataSpec,
  file: string,
  images: Fer2013Pixels,
  collector: VoteCollector,
): Dataset {
  const files = collector.rows.map((row, i) => `${file}, line ${row + 2} (${collector.names[i]!})`);
  return {
    ...fileDataset({ name: spec.text, files, ...collector.fields() }),
    load: (index) => images.load(index),
  };
}
