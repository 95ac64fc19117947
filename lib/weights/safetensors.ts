import { open, type FileHandle } from 'node:fs/promises';
import { CountenanceError, readError, throwIfAborted } from '../errors.js';
import { elementCount, type TensorData } from '../types.js';
import { writeFileAtomic } from './atomic.js';
import { machineIsLittleEndian, storedBytes, toFloat32, type StoredType } from './dtype.js';
import { parseHeader, type HeaderEntry } from './safetensors-header.js';

/** A tensor read from a safetensors file: always float32 in memory, `dtype` is what the file holds. */
export interface StoredTensor extends TensorData {
  readonly dtype: StoredType;
}

/** The content of a safetensors file. */
export interface SafetensorsFile {
  /** Tensors by name, in the order of their data. */
  readonly tensors: Map<string, StoredTensor>;
  /** The free text fields of `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The format's own limit for the header, 100 MB. */
const headerLimit = 100_000_000;

/**
 * Reads a safetensors file strictly by the format's specification: every size is checked before it is
 * used, the tensors must cover the file without gap or overlap, and no key may stand twice.
 * F32, F16, BF16, F64 and I64 (PyTorch's `num_batches_tracked`) are read, all as float32.
 *
 * @param options.names reads only these tensors (others are checked, but not loaded)
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, or ERR_SAFETENSORS which
 *   names the file and the reason
 * @example
 * const { tensors, metadata } = await readSafetensors('model.safetensors');
 * tensors.get('encoder.conv1.weight'); // { dtype: 'F32', shape: [64, 3, 7, 7], data: Float32Array }
 */
export async function readSafetensors(
  file: string,
  options: { names?: ReadonlySet<string>; signal?: AbortSignal | undefined } = {},
): Promise<SafetensorsFile> {
  throwIfAborted(options.signal, `Reading '${file}'`);
  let handle: FileHandle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    throw readError('Weights file', file, error);
  }
  try {
    const status = await handle.stat();
    if (!status.isFile()) {
      throw new CountenanceError('ERR_NOT_A_FILE', `Weights file '${file}' is not a regular file`);
    }
    const fail = failure(file);
    const { entries, metadata, dataStart } = await readHeader(handle, status.size, fail);
    const tensors = new Map<string, StoredTensor>();
    for (const entry of entries) {
      if (options.names && !options.names.has(entry.name)) continue;
      throwIfAborted(options.signal, `Reading '${file}'`);
      tensors.set(entry.name, await readTensor(handle, entry, dataStart, fail));
    }
    return { tensors, metadata };
  } catch (error) {
    throw readError('Weights file', file, error);
  } finally {
    await handle.close();
  }
}

type Fail = (reason: string) => CountenanceError;

function failure(file: string): Fail {
  return (reason) =>
    new CountenanceError('ERR_SAFETENSORS', `'${file}' is no valid safetensors file: ${reason}`);
}

async function readHeader(
  handle: FileHandle,
  size: number,
  fail: Fail,
): Promise<{ entries: HeaderEntry[]; metadata: Record<string, string>; dataStart: number }> {
  if (size < 8) throw fail(`it has ${size} bytes, too few for the length of a header`);
  const lengthBytes = await readExactly(handle, 0, 8, fail);
  const view = new DataView(lengthBytes.buffer, lengthBytes.byteOffset, 8);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(headerLimit)) {
    throw fail(`its header claims ${length} bytes, more than the limit of ${headerLimit}`);
  }
  const headerLength = Number(length);
  if (headerLength < 2 || 8 + headerLength > size) {
    throw fail(`its header claims ${headerLength} bytes, but ${size - 8} follow (truncated?)`);
  }
  const bytes = await readExactly(handle, 8, headerLength, fail);
  const dataStart = 8 + headerLength;
  return { ...parseHeader(bytes, size - dataStart, fail), dataStart };
}

async function readTensor(
  handle: FileHandle,
  entry: HeaderEntry,
  dataStart: number,
  fail: Fail,
): Promise<StoredTensor> {
  if (!Object.hasOwn(storedBytes, entry.dtype)) {
    const known = Object.keys(storedBytes).join(', ');
    throw fail(`tensor '${entry.name}' has dtype ${entry.dtype}; supported are ${known}`);
  }
  const dtype = entry.dtype as StoredType;
  const bytes = await readExactly(handle, dataStart + entry.begin, entry.end - entry.begin, fail);
  if (!machineIsLittleEndian) swapBytes(bytes, storedBytes[dtype]);
  return { dtype, shape: entry.shape, data: await toFloat32(bytes, dtype) };
}

/** Reads `length` bytes at `position` into a fresh buffer of exactly that size. */
async function readExactly(
  handle: FileHandle,
  position: number,
  length: number,
  fail: Fail,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw fail('it ended while it was read');
    done += bytesRead;
  }
  return bytes;
}

/** Reverses the bytes of each element in place. */
export function swapBytes(bytes: Uint8Array, elementBytes: number): void {
  for (let start = 0; start < bytes.length; start += elementBytes) {
    bytes.subarray(start, start + elementBytes).reverse();
  }
}

/**
 * The bytes of a safetensors file with float32 tensors, as a list of pieces: header first, then each
 * tensor's own memory (not copied). The data starts at a multiple of 8 bytes.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const header: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) header.push(['__metadata__', metadata]);
  const pieces: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { shape, data }] of tensors) {
    if (elementCount(shape) !== data.length) {
      throw new CountenanceError(
        'ERR_SHAPE_MISMATCH',
        `Tensor '${name}' has shape [${shape.join(', ')}] but ${data.length} values`,
      );
    }
    if (name === '__metadata__') {
      throw new CountenanceError('ERR_SAFETENSORS', `No tensor can be named '${name}'`);
    }
    const end = offset + data.byteLength;
    header.push([name, { dtype: 'F32', shape, data_offsets: [offset, end] }]);
    offset = end;
    let bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (!machineIsLittleEndian) {
      bytes = bytes.slice();
      swapBytes(bytes, 4);
    }
    pieces.push(bytes);
  }
  // Object.fromEntries keeps a tensor named "__proto__"; JSON.stringify writes own keys only.
  let json = JSON.stringify(Object.fromEntries(header));
  json += ' '.repeat((8 - (Buffer.byteLength(json) % 8)) % 8);
  const text = Buffer.from(json, 'utf8');
  const start = Buffer.alloc(8 + text.length);
  start.writeBigUInt64LE(BigInt(text.length));
  text.copy(start, 8);
  return [start, ...pieces];
}

/**
 * Writes float32 tensors to a safetensors file, whole or not at all (see {@link writeFileAtomic}).
 *
 * @throws CountenanceError ERR_WRITE naming the file and the reason
 * @example
 * await writeSafetensors('weights.safetensors', model.stateDict(), { format: 'pt' });
 */
export async function writeSafetensors(
  file: string,
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFileAtomic(file, encodeSafetensors(tensors, metadata));
}
