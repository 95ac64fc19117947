import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CountenanceError, readError, throwIfAborted } from '../../errors.js';
import { checkDirectory, kindOf } from '../../files.js';
import { fileDataset, type Dataset } from '../dataset.js';
import { badSpec, type DataSpec } from '../spec.js';
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
  options: [],
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
  const classes = await subfolders(root);
  if (classes.length === 0) {
    throw new CountenanceError(
      'ERR_DATASET_EMPTY',
      `Data set '${spec.text}': '${root}' contains no class folders`,
    );
  }
  if (spec.split === undefined && classes.every(isSplitFolder)) {
    const choices = classes.map((name) => `${spec.format}:${spec.path}#${name}`).join(', ');
    throw badSpec(spec.text, `it contains splits; choose ${choices}`);
  }
  const files: string[] = [];
  const labels: number[] = [];
  for (const [label, name] of classes.entries()) {
    throwIfAborted(options.signal, `Opening '${spec.text}'`);
    for (const file of await imagesBelow(join(root, name))) {
      files.push(file);
      labels.push(label);
    }
  }
  return fileDataset({ name: spec.text, classes, files, labels });
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
  const names: string[] = [];
  for (const entry of await list(path)) {
    if (entry.name.startsWith('.')) continue;
    const isFolder =
      entry.isDirectory() ||
      (entry.isSymbolicLink() && (await kindOf(join(path, entry.name))) === 'directory');
    if (isFolder) names.push(entry.name);
  }
  return names.sort();
}

/** Image files in a folder and the folders below it, sorted. */
async function imagesBelow(path: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await list(path)) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) files.push(...(await imagesBelow(inner)));
    else if (isImageName(entry.name)) files.push(inner);
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
