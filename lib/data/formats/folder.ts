import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { CountenanceError, readError, throwIfAborted } from '../../errors.js';
import { checkDirectory, kindOf } from '../../files.js';
import { nameClasses, noteOnNumbers, sortClasses } from '../class-names.js';
import { fileDataset, type Dataset } from '../dataset.js';
import { badSpec, type DataSpec } from '../spec.js';
import { droppingOf, LeftOut } from './droppings.js';
import { canonicalSplit, isImageName, type DataFormat, type OpenOptions } from './format.js';

/** Folder names that a split may have. */
const splitFolders: ReadonlyMap<string, readonly string[]> = new Map([
  ['train', ['train', 'training']],
  ['valid', ['valid', 'val', 'validation']],
  ['test', ['test', 'testing']],
]);

/** One folder per class: `DIR/happiness/*.jpg`, or with splits `DIR/train/happiness/*.jpg`. */
export const folderFormat: DataFormat = {
  name: 'folder',
  summary: 'one folder per class (optionally inside train, valid and test folders)',
  example: 'folder:faces#train',
  options: ['names'],
  splits: async (spec) => {
    await checkDirectory(spec.path, 'Data set directory');
    const names = await subfolders(spec.path);
    return names.every(isSplitFolder) ? names : [];
  },
  open: openFolder,
};

async function openFolder(spec: DataSpec, options: OpenOptions): Promise<Dataset> {
  await checkDirectory(spec.path, 'Data set directory');
  const root = await splitRoot(spec);
  const junk = new LeftOut();
  const others = new LeftOut();
  const folders = await foldersByClass(root, junk, others);
  const found = sortClasses([...folders.keys()]);
  if (found.length === 0) {
    throw new CountenanceError(
      'ERR_DATASET_EMPTY',
      `Data set '${spec.text}': '${root}' contains no class folders`,
    );
  }
  if (spec.split === undefined && found.every(isSplitFolder)) {
    const choices = found.map((name) => `${spec.format}:${spec.path}#${name}`).join(', ');
    throw badSpec(spec.text, `it contains splits; choose ${choices}`);
  }
  const files: string[] = [];
  const labels: number[] = [];
  for (const [label, name] of found.entries()) {
    for (const folder of folders.get(name)!) {
      throwIfAborted(options.signal, `Opening '${spec.text}'`);
      for (const file of await imagesBelow(join(root, folder), junk, others)) {
        files.push(file);
        labels.push(label);
      }
    }
  }
  const classes = nameClasses(found, spec);
  const notes = [
    ...noteOnNumbers(classes),
    ...junk.notes('put there by a system or a browser'),
    ...others.notes('no images in a class folder'),
  ];
  return fileDataset({ name: spec.text, classes, files, labels, notes });
}

async function splitRoot(spec: DataSpec): Promise<string> {
  if (spec.split === undefined) return spec.path;
  const names = splitFolders.get(canonicalSplit(spec.split)) ?? [spec.split];
  for (const name of [spec.split, ...names]) {
    if (name.includes('/') || name === '..') break;
    const root = join(spec.path, name);
    if ((await kindOf(root)) === 'directory') return root;
  }
  const present = (await subfolders(spec.path)).join(', ') || 'no folder at all';
  throw badSpec(spec.text, `'${spec.path}' has no folder '${spec.split}'; it contains ${present}`);
}

function isSplitFolder(name: string): boolean {
  return splitFolders.has(canonicalSplit(name));
}

/** Names of the folders in `path`, sorted by code point: the same order on every machine. */
async function subfolders(path: string): Promise<string[]> {
  return [...(await foldersByClass(path, new LeftOut(), new LeftOut())).values()].flat().sort();
}

/** The folders in `path` by the name of their class: two spellings of an accent are one class. */
async function foldersByClass(
  path: string,
  junk: LeftOut,
  others: LeftOut,
): Promise<Map<string, string[]>> {
  const folders = new Map<string, string[]>();
  for (const entry of await list(path)) {
    const { name } = entry;
    const dropping = droppingOf(name);
    if (dropping !== undefined) junk.add(dropping);
    if (dropping !== undefined || name.startsWith('.')) continue;
    const isFolder =
      entry.isDirectory() ||
      (entry.isSymbolicLink() && (await kindOf(join(path, name))) === 'directory');
    if (!isFolder) {
      if (isImageName(name)) others.add('images beside the class folders');
      continue;
    }
    const label = name.normalize('NFC');
    const same = folders.get(label);
    if (same) same.push(name);
    else folders.set(label, [name]);
  }
  return folders;
}

/** Image files in a folder and the folders below it, sorted. */
async function imagesBelow(path: string, junk: LeftOut, others: LeftOut): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await list(path)) {
    const { name } = entry;
    const inner = join(path, name);
    const dropping = droppingOf(name);
    if (dropping !== undefined) junk.add(dropping);
    else if (entry.isDirectory()) files.push(...(await imagesBelow(inner, junk, others)));
    else if (isImageName(name)) files.push(inner);
    else if (!name.startsWith('.')) others.add(`*${extname(name)}`);
  }
  return files.sort();
}

async function list(path: string): Promise<Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    throw readError('Data set directory', path, error);
  }
}
