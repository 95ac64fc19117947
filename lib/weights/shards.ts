import { dirname, join } from 'node:path';
import { isObject } from '../check.js';
import { CountenanceError, messageOf } from '../errors.js';
import { FileReader } from './file-reader.js';
import { findDuplicateKey } from './json-keys.js';
import { weightsFile, type Fail, type WeightsFile, type WeightTensor } from './weights-file.js';

/** Largest index that is read: 16 MiB, about 200,000 tensors. */
const indexLimit = 1 << 24;

/** Maximum number of shards: each one keeps a file open. */
const shardLimit = 256;

/**
 * Opens weights that are split into several files next to an index: `{ "weight_map": { NAME: FILE } }`, as
 * Hugging Face writes `model.safetensors.index.json` and `pytorch_model.bin.index.json`. A tensor that is in
 * no file is `absent`: whoever needs it will miss it.
 *
 * @param openShard opens one of the files
 * @throws CountenanceError ERR_SAFETENSORS which names the index and the reason, and the errors of the
 *   shards
 */
export async function openShards(
  index: string,
  openShard: (file: string) => Promise<WeightsFile>,
): Promise<WeightsFile> {
  const fail: Fail = (reason) =>
    new CountenanceError(
      'ERR_SAFETENSORS',
      `'${index}' is not a usable index of shards: ${reason}`,
    );
  const fileOf = parseIndex(await readText(index, fail), fail);
  const shards = new Map<string, WeightsFile>();
  try {
    for (const file of new Set(fileOf.values())) {
      shards.set(file, await openShard(join(dirname(index), file)));
    }
    const tensors = new Map<string, WeightTensor>();
    const absent: string[] = [];
    for (const [name, file] of fileOf) {
      const named = shards.get(file)!;
      const shard = [named, ...shards.values()].find((each) => each.tensors.has(name));
      if (shard) tensors.set(name, shard.tensors.get(name)!);
      else absent.push(name);
    }
    const [first] = absent;
    if (first !== undefined && tensors.size === 0) {
      throw fail(`tensor '${first}' is not in '${fileOf.get(first)}', and neither is any other`);
    }
    const notRebuilt = [...shards.values()].flatMap((shard) => shard.notRebuilt);
    const content = { path: index, format: 'safetensors shards', tensors, metadata: {} } as const;
    return weightsFile({ ...content, notRebuilt, absent }, [...shards.values()]);
  } catch (error) {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
    throw error;
  }
}

async function readText(index: string, fail: Fail): Promise<string> {
  const reader = await FileReader.open(index, 'Index of shards');
  try {
    if (reader.size > indexLimit) throw fail(`it has more than ${indexLimit} bytes`);
    return Buffer.from(await reader.read(0, reader.size)).toString('utf8');
  } finally {
    await reader.close();
  }
}

/** File name by tensor name. */
function parseIndex(text: string, fail: Fail): Map<string, string> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw fail(`it is not JSON text (${messageOf(error)})`);
  }
  const { weight_map: map, error } = (json ?? {}) as { weight_map?: unknown; error?: unknown };
  if (!isObject(map)) {
    // What a server answers in place of a file: {"error": "Repository not found"}.
    const isAnswer = typeof error === 'string';
    throw fail(
      isAnswer ? `it is an error message (${error.slice(0, 100)})` : 'it has no weight_map',
    );
  }
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) throw fail(`it has the key '${duplicate}' twice`);
  const fileOf = new Map<string, string>();
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== 'string' || !isPlainName(file)) {
      throw fail(`tensor '${name}' is not in a plain file next to it (${JSON.stringify(file)})`);
    }
    fileOf.set(name, file);
  }
  const count = new Set(fileOf.values()).size;
  if (count > shardLimit) throw fail(`it names ${count} files, more than ${shardLimit}`);
  return fileOf;
}

/** A name without folders: only files next to the index are opened. */
function isPlainName(file: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what it looks for
  return file !== '' && file !== '.' && file !== '..' && !/[/\\:\x00-\x1f]/.test(file);
}
