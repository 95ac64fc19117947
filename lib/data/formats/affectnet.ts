import { join } from 'node:path';
import { checkDirectory, kindOf } from '../../files.js';
import type { Dataset } from '../dataset.js';
import { badSpec, type DataSpec } from '../spec.js';
import { AffectnetCodes } from './affectnet-codes.js';
import { openListed } from './affectnet-list.js';
import { openAnnotated } from './affectnet-npy.js';
import { requireSplit, type DataFormat, type OpenOptions } from './format.js';

const splits = ['train', 'valid'] as const;
const lists = { train: 'training.csv', valid: 'validation.csv' } as const;
const sets = { train: 'train_set', valid: 'val_set' } as const;

/** AffectNet with the seven classes that most papers report: contempt is left out. */
export const affectnet7Format = affectnetFormat(7);

/** AffectNet with its eight classes. */
export const affectnet8Format = affectnetFormat(8);

/**
 * AffectNet (A. Mollahosseini, B. Hasani, M. H. Mahoor, IEEE Transactions on Affective Computing 10(1),
 * 2019, arXiv 1708.03985) in one of two layouts below DIR:
 * - `training.csv`, `validation.csv` and the images in `Manually_Annotated_Images`, cropped to the
 *   list's face box (`crop=none`: whole images)
 * - `train_set`, `val_set`, each with `images/ID.jpg` and `annotations/ID_exp.npy`
 */
function affectnetFormat(classCount: 7 | 8): DataFormat {
  return {
    name: `affectnet${classCount}`,
    summary:
      classCount === 7
        ? 'AffectNet without contempt: Manually_Annotated lists or train_set, val_set; crop=box|none'
        : 'AffectNet with contempt, in the same layouts',
    example: `affectnet${classCount}:AffectNet#train`,
    options: ['crop'],
    splits: () => splits,
    open: (spec, options) => openAffectnet(spec, options, classCount),
  };
}

async function openAffectnet(
  spec: DataSpec,
  options: OpenOptions,
  classCount: 7 | 8,
): Promise<Dataset> {
  const split = requireSplit(spec, splits);
  const { crop } = spec.options;
  if (crop !== undefined && crop !== 'box' && crop !== 'none') {
    throw badSpec(spec.text, `no crop '${crop}'; choose box or none`);
  }
  await checkDirectory(spec.path, 'Data set directory');
  const codes = new AffectnetCodes(classCount);

  const set = join(spec.path, sets[split]);
  if ((await kindOf(join(set, 'annotations'))) === 'directory') {
    if (crop === 'box') throw badSpec(spec.text, `'${set}' has no face boxes to crop to`);
    return openAnnotated(spec, set, codes, options);
  }
  const list = await findList(spec.path, lists[split]);
  const images = await findImages(spec.path);
  if (list !== undefined && images !== undefined) {
    return openListed(spec, { list, images, crop: crop !== 'none' }, codes, options);
  }
  throw badSpec(
    spec.text,
    `'${spec.path}' contains neither ${sets[split]} with annotations, nor ${lists[split]} with ` +
      'Manually_Annotated_Images',
  );
}

/** The two archives may be unpacked into DIR or each into a folder named after it. */
async function findList(root: string, name: string): Promise<string | undefined> {
  const folder = 'Manually_Annotated_file_lists';
  for (const parts of [[], [folder], ['Manually_Annotated', folder], ['Manually_Annotated']]) {
    const file = join(root, ...parts, name);
    if ((await kindOf(file)) === 'file') return file;
  }
  return undefined;
}

async function findImages(root: string): Promise<string | undefined> {
  const folder = 'Manually_Annotated_Images';
  for (const parts of [[folder], ['Manually_Annotated', folder], ['Manually_Annotated']]) {
    const path = join(root, ...parts);
    if ((await kindOf(path)) === 'directory') return path;
  }
  return undefined;
}
