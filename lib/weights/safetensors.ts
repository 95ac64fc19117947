import { CountenanceError, throwIfAborted } from '../errors.js';
import { otherKind, startLength } from '../file-kinds.js';
import { checkElements, type TensorData } from '../types.js';
import { writeFileAtomic } from './atomic.js';
import { littleEndianBytes, storedType, toFloat32, type StoredType } from './dtype.js';
import { FileReader } from './file-reader.js';
import { parseHeader, type HeaderEntry } from './safetensors-header.js';
import { weightsFile, type Fail, type WeightsFile, type WeightTensor } from './weights-file.js';

/** A tensor read from a safetensors file: always float32 in memory, `dtype` is the type in the file. */
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
 * Opens a safetensors file strictly by the format's specification: every size is checked before it is used,
 * the tensors must cover the file without gap or overlap, and no key may occur twice.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, or ERR_SAFETENSORS which
 *   names the file and the reason
 */
export async function openSafetensors(file: string): Promise<WeightsFile> {
  const reader = await FileReader.open(file, 'Weights file');
  try {
    const fail = failure(file);
    const { entries, metadata, dataStart } = await readHeader(reader, fail);
    const tensors = new Map(
      entries.map((entry) => [entry.name, lazyTensor(reader, entry, dataStart, fail)]),
    );
    return weightsFile({ path: file, format: 'safetensors', tensors, metadata }, [reader]);
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/**
 * Reads a whole safetensors file. Floats of 64, 32, 16 and 8 bits, integers up to I64 and BOOL are read,
 * all as float32.
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
  await using opened = await openSafetensors(file);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, tensor] of opened.tensors) {
    if (options.names && !options.names.has(name)) continue;
    throwIfAborted(options.signal, `Reading '${file}'`);
    const data = await tensor.read(options.signal);
    tensors.set(name, { dtype: tensor.dtype as StoredType, shape: tensor.shape, data });
  }
  return { tensors, metadata: opened.metadata };
}

function failure(file: string): Fail {
  return (reason) => badSafetensors(file, reason);
}

/** An ERR_SAFETENSORS that names the file. */
export function badSafetensors(file: string, reason: string): CountenanceError {
  return new CountenanceError(
    'ERR_SAFETENSORS',
    `'${file}' is not a valid safetensors file: ${reason}`,
  );
}

async function readHeader(
  reader: FileReader,
  fail: Fail,
): Promise<{ entries: HeaderEntry[]; metadata: Record<string, string>; dataStart: number }> {
  const { size } = reader;
  const start = await reader.read(0, Math.min(startLength, size));
  const kind = start[8] === 0x7b ? undefined : otherKind(start);
  if (kind !== undefined) throw fail(kind);
  if (size < 8) throw fail(`it has ${size} bytes, too few for the length of a header`);
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(headerLimit)) {
    throw fail(`its header claims ${length} bytes, more than the limit of ${headerLimit}`);
  }
  const headerLength = Number(length);
  if (headerLength < 2 || 8 + headerLength > size) {
    throw fail(`its header claims ${headerLength} bytes, but ${size - 8} follow (truncated?)`);
  }
  const bytes = await reader.read(8, headerLength);
  const dataStart = 8 + headerLength;
  return { ...parseHeader(bytes, size - dataStart, fail), dataStart };
}

function lazyTensor(
  reader: FileReader,
  entry: HeaderEntry,
  dataStart: number,
  fail: Fail,
): WeightTensor {
  const { name, dtype, shape, begin, end } = entry;
  return {
    dtype,
    shape,
    read: async (signal) => {
      const type = storedType(dtype, name, fail);
      return toFloat32(await reader.read(dataStart + begin, end - begin, signal), type);
    },
  };
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
  for (const [name, tensor] of tensors) {
    checkElements(tensor, `'${name}'`);
    const { shape, data } = tensor;
    if (name === '__metadata__') {
      throw new CountenanceError('ERR_SAFETENSORS', `No tensor can be named '${name}'`);
    }
    const end = offset + data.byteLength;
    header.push([name, { dtype: 'F32', shape, data_offsets: [offset, end] }]);
    offset = end;
    pieces.push(littleEndianBytes(data));
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
 * Writes float32 tensors to a safetensors file atomically.
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
