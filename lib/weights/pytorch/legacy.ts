import { CountenanceError } from '../../errors.js';
import type { FileReader } from '../file-reader.js';
import type { Fail } from '../weights-file.js';
import { Truncated } from './byte-cursor.js';
import { findListedGlobal } from './globals.js';
import type { PickleHost } from './machine.js';
import { StorageTable, type PyTorchContent, type ReadStorage } from './storages.js';
import { pickleLimit, unpickle } from './unpickler.js';
import { PickleProblem, quote } from './values.js';

/** The content of the first pickle of a legacy file, and the version in the second. */
const magic = 0x1950a86a20f9469cfc6cn;
const protocolVersion = 1001;

/** Bytes read at first; if the pickles are longer, they are read again with eight times as many. */
const firstWindow = 1 << 20;

/**
 * The format before PyTorch 1.6, a stream: pickles of a magic number, a protocol version, a description of
 * the machine, the object and the storages' keys; then for each key, in that order, the number of elements
 * (8 bytes) and the elements.
 */
export async function readLegacy(reader: FileReader, fail: Fail): Promise<PyTorchContent> {
  const { root, keys, table, end } = await readPickles(reader, fail);
  const offsets = await locateStorages(reader, keys, table, end, fail);
  const readStorage: ReadStorage = ({ key }, begin, until, signal) =>
    reader.read(offsets.get(key)! + begin, until - begin, signal);
  return { root, foreignNames: table.foreignNames, readStorage };
}

/** The pickles around the object are PyTorch's own: they need no other name, and no storage. */
const frame: PickleHost = {
  findGlobal: findListedGlobal,
  loadPersistent: () => {
    throw new PickleProblem('a storage before the object');
  },
};

interface Pickles {
  readonly root: unknown;
  readonly keys: unknown;
  readonly table: StorageTable;
  /** Where the last pickle ends. */
  readonly end: number;
}

/** The file does not say how long the pickles are: more of it is read until they are complete. */
async function readPickles(reader: FileReader, fail: Fail): Promise<Pickles> {
  const most = Math.min(reader.size, pickleLimit);
  for (let window = Math.min(firstWindow, most); ; window = Math.min(8 * window, most)) {
    try {
      return await parsePickles(await reader.read(0, window), reader.path, fail);
    } catch (error) {
      if (!(error instanceof Truncated) || window === most) throw error;
    }
  }
}

async function parsePickles(bytes: Uint8Array, path: string, fail: Fail): Promise<Pickles> {
  const run = (start: number, host: PickleHost = frame) => unpickle(bytes, start, host);
  const first = await run(0);
  if (first.value !== magic) throw fail('it is a pickle, but not one from torch.save');
  const version = await run(first.end);
  if (version.value !== protocolVersion) {
    throw fail(`its protocol version is ${String(version.value).slice(0, 40)}`);
  }
  const machine = await run(version.end);
  if (machine.value instanceof Map && machine.value.get('little_endian') === false) {
    throw new CountenanceError(
      'ERR_UNSUPPORTED',
      `'${path}' was written on a big-endian machine; only little-endian ones are read`,
    );
  }
  const table = new StorageTable();
  const object = await run(machine.end, table);
  const keys = await run(object.end);
  return { root: object.value, keys: keys.value, table, end: keys.end };
}

/** The offset of each storage's elements; all are checked to be inside the file. */
async function locateStorages(
  reader: FileReader,
  keys: unknown,
  { byteLengths, elementBytes }: StorageTable,
  end: number,
  fail: Fail,
): Promise<ReadonlyMap<string, number>> {
  if (!Array.isArray(keys)) throw fail('its storages have no keys');
  const offsets = new Map<string, number>();
  let position = end;
  for (const item of keys as unknown[]) {
    const key = typeof item === 'string' || typeof item === 'number' ? String(item) : '';
    const byteLength = byteLengths.get(key);
    if (byteLength === undefined || offsets.has(key)) {
      throw fail(`its storage ${quote(key)} belongs to no tensor, or occurs twice`);
    }
    if (position + 8 + byteLength > reader.size) {
      throw fail(`its storage ${quote(key)} is truncated`);
    }
    const header = await reader.read(position, 8);
    const count = Number(new DataView(header.buffer).getBigInt64(0, true));
    if (count * elementBytes.get(key)! !== byteLength) {
      throw fail(`its storage ${quote(key)} has ${count} elements, not what its tensors say`);
    }
    offsets.set(key, position + 8);
    position += 8 + byteLength;
  }
  for (const key of byteLengths.keys()) {
    if (!offsets.has(key)) throw fail(`its storage ${quote(key)} is missing`);
  }
  return offsets;
}
