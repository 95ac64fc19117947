import { checkSpecOptions, formatSpec, parseDataSpec, type DataSpec } from './spec.js';
import type { Dataset } from './dataset.js';
import { affectnet7Format, affectnet8Format } from './formats/affectnet.js';
import { ckplusFormat } from './formats/ckplus.js';
import { csvFormat } from './formats/csv.js';
import { fer2013Format } from './formats/fer2013.js';
import { ferplusFormat } from './formats/ferplus.js';
import { folderFormat } from './formats/folder.js';
import type { DataFormat, OpenOptions } from './formats/format.js';
import { jaffeFormat } from './formats/jaffe.js';
import { rafdbFormat } from './formats/rafdb.js';
import { syntheticFormat } from './formats/synthetic.js';

/** Every data set format. To add one: write formats/<name>.ts and add it here. */
export const dataFormats: readonly DataFormat[] = [
  syntheticFormat,
  folderFormat,
  csvFormat,
  rafdbFormat,
  affectnet7Format,
  affectnet8Format,
  ferplusFormat,
  fer2013Format,
  ckplusFormat,
  jaffeFormat,
];

/**
 * Opens a data set by its specification, `format:path[#split][,option=value...]`. Labels and file names are
 * read and checked; images are not read yet.
 *
 * @throws CountenanceError ERR_DATASET_FORMAT, ERR_DATASET_EMPTY, ERR_LABEL_RANGE, ERR_FILE_NOT_FOUND
 *   and other read errors, each naming the file; ERR_ABORTED
 * @example
 * const train = await openDataset('ferplus:FERPlus/data#train');
 * const faces = await openDataset('folder:faces#train');
 * const synthetic = await openDataset('synthetic:1500#train');
 */
export async function openDataset(text: string, options: OpenOptions = {}): Promise<Dataset> {
  const { spec, format } = findFormat(text);
  return format.open(spec, options);
}

/**
 * The parts that a specification selects: the split it names, otherwise all splits of its data set, or one
 * unnamed part if the data set has none.
 *
 * @throws CountenanceError as {@link openDataset}
 */
export async function splitsOf(
  text: string,
): Promise<readonly { readonly name: string | null; readonly spec: string }[]> {
  const { spec, format } = findFormat(text);
  if (spec.split !== undefined) return [{ name: spec.split, spec: text }];
  const names = await format.splits(spec);
  if (names.length === 0) return [{ name: null, spec: text }];
  return names.map((name) => ({ name, spec: formatSpec({ ...spec, split: name }) }));
}

function findFormat(text: string): { readonly spec: DataSpec; readonly format: DataFormat } {
  const names = dataFormats.map(({ name }) => name);
  const spec = parseDataSpec(text, names);
  const format = dataFormats.find(({ name }) => name === spec.format)!;
  checkSpecOptions(spec, format.options);
  return { spec, format };
}
