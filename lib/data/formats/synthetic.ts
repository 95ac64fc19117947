import { rafdbClasses } from '../classes.js';
import type { Dataset } from '../dataset.js';
import { renderFace } from '../synthetic/face.js';
import { badSpec, type DataSpec } from '../spec.js';
import { canonicalSplit, type DataFormat } from './format.js';
import { throwIfAborted } from '../../errors.js';

/**
 * Numbers of the splits. They are part of the key of a face's random numbers, so that no two splits share a
 * face.
 */
const splits: ReadonlyMap<string, number> = new Map([
  ['train', 0],
  ['valid', 1],
  ['test', 2],
]);

/**
 * `synthetic:N[#split-or-seed][,seed=S]`: N synthetic faces that cycle through the seven classes of RAF-DB.
 */
export const syntheticFormat: DataFormat = {
  name: 'synthetic',
  summary:
    'N synthetic faces with seven expressions, made on the fly; #train, #valid, #test or a seed',
  example: 'synthetic:1500#train',
  options: ['seed'],
  splits: () => [],
  open: (spec) => new Promise((resolve) => resolve(openSynthetic(spec))),
};

function openSynthetic(spec: DataSpec): Dataset {
  const count = wholeNumber(spec.path);
  if (count === undefined || count < 1 || count > 10_000_000) {
    throw badSpec(spec.text, `'${spec.path}' is not a number of faces from 1 to 10000000`);
  }
  const splitSeed = spec.split === undefined ? undefined : wholeNumber(spec.split);
  const optionSeed = spec.options['seed'];
  const seed = optionSeed === undefined ? (splitSeed ?? 0) : wholeNumber(optionSeed);
  if (seed === undefined) throw badSpec(spec.text, `'${optionSeed}' is not a seed`);
  const split = splits.get(
    splitSeed === undefined ? canonicalSplit(spec.split ?? 'train') : 'train',
  );
  if (split === undefined) {
    throw badSpec(spec.text, `no split '${spec.split}'; choose train, valid, test or a number`);
  }
  return syntheticDataset(count, { seed, split, name: spec.text });
}

/**
 * Synthetic faces with the seven expressions of RAF-DB, equally many of each. Face i is always the same for
 * the same seed and split, and different splits share no face.
 */
export function syntheticDataset(
  count: number,
  options: { seed?: number; split?: number; name?: string } = {},
): Dataset {
  const { seed = 0, split = 0, name = `synthetic:${count}` } = options;
  const label = (index: number): number => index % rafdbClasses.length;
  return {
    name,
    classes: rafdbClasses,
    neutral: 'neutral',
    size: count,
    targetKind: 'label',
    notes: ['synthetic faces, not photographs'],
    label,
    target: () => undefined,
    load: async (index, signal) => {
      throwIfAborted(signal, 'Rendering');
      return renderFace(label(index), seed, split, index);
    },
    describe: (index) => `synthetic face ${index} of ${name}`,
  };
}

function wholeNumber(text: string): number | undefined {
  const value = Number(text);
  return /^\d+$/.test(text) && Number.isSafeInteger(value) ? value : undefined;
}
