import { basename, extname, join } from 'node:path';
import { CountenanceError } from '../errors.js';
import { foreignKind, startLength } from '../file-kinds.js';
import { kindOf } from '../files.js';
import { recoverDirectory } from './directory.js';
import { FileReader } from './file-reader.js';
import { badPyTorch, openPyTorch } from './pytorch/open.js';
import { badSafetensors, openSafetensors } from './safetensors.js';
import { openShards } from './shards.js';
import type { WeightsFile } from './weights-file.js';

/**
 * File names that a directory is searched for, in this order: ours, and Hugging Face's. An index comes before
 * the single file, which is often a left-over or one of several parts.
 */
const directoryFiles = [
  'model.safetensors.index.json',
  'model.safetensors',
  'pytorch_model.bin.index.json',
  'pytorch_model.bin',
] as const;

/**
 * Opens a weights file of any format; the content decides, not the name. Only names, shapes and types are
 * read; each tensor's values stay in the file until its `read()`.
 *
 * @param path safetensors; the `model.safetensors.index.json` of shards; a file of `torch.save` (.pth, .pt,
 *   .pth.tar, .bin, new or legacy format); or a directory that contains one of them under its usual name
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, ERR_UNSUPPORTED,
 *   ERR_SAFETENSORS, ERR_PYTORCH, or ERR_UNSAFE_PICKLE for a pickle whose tensors all depend on code
 * @example
 * await using weights = await openWeights('resnet18_msceleb.pth');
 * for (const [name, { shape, dtype }] of weights.tensors) console.log(name, shape, dtype);
 * // state_dict.conv1.weight [ 64, 3, 7, 7 ] F32
 * const values = await weights.tensors.get('state_dict.conv1.weight')!.read(); // Float32Array
 */
export async function openWeights(path: string): Promise<WeightsFile> {
  if ((await kindOf(path)) !== 'directory') return openFile(path);
  const [file, ...beside] = await findInDirectory(path);
  try {
    return { ...(await openFile(file)), beside };
  } catch (error) {
    if (beside.length === 0 || !isMissingFile(error)) throw error;
    const { code, message } = error;
    const hint = `give '${beside[0]}' to read that instead`;
    throw new CountenanceError(code, `${message}; ${hint}`, { cause: error });
  }
}

/** True if a file does not exist, such as a shard that an index names. */
function isMissingFile(error: unknown): error is CountenanceError {
  return error instanceof CountenanceError && error.code === 'ERR_FILE_NOT_FOUND';
}

async function openFile(file: string): Promise<WeightsFile> {
  switch (await detectForm(file)) {
    case 'json':
      return openShards(file, openPart);
    case 'pytorch':
      return openPyTorch(file);
    case 'safetensors':
      return openSafetensors(file);
  }
}

/** One shard, which must not be an index itself. */
async function openPart(file: string): Promise<WeightsFile> {
  return (await detectForm(file)) === 'pytorch' ? openPyTorch(file) : openSafetensors(file);
}

/** The weights files in a directory under their usual names; the first is the one to read. */
export async function findWeights(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of directoryFiles) {
    const file = join(directory, name);
    if ((await kindOf(file)) === 'file') found.push(file);
  }
  return found;
}

async function findInDirectory(directory: string): Promise<[string, ...string[]]> {
  await recoverDirectory(directory);
  const [first, ...others] = await findWeights(directory);
  if (first !== undefined) return [first, ...others];
  throw new CountenanceError(
    'ERR_FILE_NOT_FOUND',
    `Directory '${directory}' contains none of ${directoryFiles.join(', ')}`,
  );
}

/** Usual extensions of PyTorch files, which decide if the content does not. */
const pytorchExtensions = ['.pth', '.pt', '.bin', '.ckpt', '.pkl', '.tar'];

/**
 * By the first bytes: a ZIP file or a pickle, a JSON text, safetensors.
 *
 * @throws CountenanceError ERR_PYTORCH or ERR_SAFETENSORS, by the file's extension, for what is none of them
 */
async function detectForm(file: string): Promise<'json' | 'pytorch' | 'safetensors'> {
  const reader = await FileReader.open(file, 'Weights file');
  let start: Uint8Array;
  try {
    start = await reader.read(0, Math.min(startLength, reader.size));
  } finally {
    await reader.close();
  }
  const isTorchName = pytorchExtensions.includes(extname(file).toLowerCase());
  const reason = foreignKind(start);
  if (reason !== undefined)
    throw isTorchName ? badPyTorch(file, reason) : badSafetensors(file, reason);
  const brace = 0x7b;
  if (start[8] === brace) return 'safetensors'; // after the 8 bytes of its header's length
  const isZip = start[0] === 0x50 && start[1] === 0x4b;
  const isPickle = start[0] === 0x80 && start[1]! <= 5;
  if (isZip || isPickle) return 'pytorch';
  if (start[0] === brace || basename(file).endsWith('.index.json')) return 'json';
  return isTorchName ? 'pytorch' : 'safetensors';
}
