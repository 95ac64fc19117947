import { CountenanceError } from '../errors.js';
import { otherKind } from '../file-kinds.js';
import { readRegularFile } from '../files.js';
import { elementCount, type TensorData } from '../types.js';
import { toFloat32, type StoredType } from './dtype.js';

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // "\x93NUMPY"

/** Longest header accepted; NumPy itself rejects those above 10,000 characters by default. */
const headerLimit = 1 << 16;

const types: Readonly<Record<string, StoredType>> = {
  '<f2': 'F16',
  '<f4': 'F32',
  '<f8': 'F64',
  '<i8': 'I64',
};

/**
 * Reads a NumPy .npy file (versions 1 to 3) of little-endian floats in C order, as `numpy.save` writes it.
 * Pickled objects, Fortran order and other types are rejected.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, ERR_NPY
 * @example
 * const { shape, data } = await readNpy('clip_text.npy'); // shape [7, 512]
 */
export async function readNpy(file: string): Promise<TensorData> {
  return parseNpy(await readRegularFile(file, 'File'), file);
}

/** The header of an .npy file. */
export interface NpyHeader {
  /** NumPy's element type, such as `<f4`. */
  readonly descr: string;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
  /** Where the elements start. */
  readonly dataStart: number;
}

/**
 * Parses the header of an .npy file; `name` is its name in messages.
 *
 * @throws CountenanceError ERR_NPY
 */
export function parseNpyHeader(bytes: Uint8Array, name: string): NpyHeader {
  const fail = (reason: string): CountenanceError => badNpy(name, reason);
  if (bytes.length < 10 || magic.some((byte, i) => bytes[i] !== byte)) {
    throw fail(otherKind(bytes) ?? 'it does not start with the NumPy signature');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[6]!;
  if (version < 1 || version > 3) throw fail(`its format version ${version} is unknown`);
  const headerStart = version === 1 ? 10 : 12;
  if (bytes.length < headerStart) throw fail('it is truncated');
  const headerLength = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (headerLength > headerLimit) {
    throw fail(`its header claims ${headerLength} bytes, more than the limit of ${headerLimit}`);
  }
  const dataStart = headerStart + headerLength;
  if (dataStart > bytes.length) throw fail('its header is truncated');

  const header = new TextDecoder(version === 3 ? 'utf-8' : 'latin1').decode(
    bytes.subarray(headerStart, dataStart),
  );
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(header)?.[1];
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(header)?.[1];
  const shapeText = /'shape'\s*:\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (descr === undefined) throw fail('its header has no simple element type');
  if (order === undefined || shapeText === undefined) throw fail('its header is incomplete');
  const shape = shapeText
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number);
  return { descr, fortranOrder: order === 'True', shape, dataStart };
}

/** Parses the bytes of an .npy file; `name` is its name in messages. */
export async function parseNpy(bytes: Uint8Array, name: string): Promise<TensorData> {
  const { descr, fortranOrder, shape, dataStart } = parseNpyHeader(bytes, name);
  const type = Object.hasOwn(types, descr) ? types[descr] : undefined;
  if (!type) {
    throw badNpy(name, `element type ${descr} is not one of ${Object.keys(types).join(', ')}`);
  }
  if (fortranOrder && shape.length > 1)
    throw badNpy(name, 'it is in Fortran order; save it in C order');

  const elementBytes = Number(descr.slice(2));
  const needed = elementCount(shape) * elementBytes;
  const present = bytes.length - dataStart;
  if (needed !== present) {
    throw badNpy(
      name,
      `shape [${shape.join(', ')}] of ${descr} needs ${needed} bytes, but ${present} follow`,
    );
  }
  // slice() copies, so the elements are aligned whatever the header's length.
  const data = await toFloat32(bytes.slice(dataStart), type);
  return { shape, data };
}

/** An ERR_NPY that names the file. */
export function badNpy(name: string, reason: string): CountenanceError {
  return new CountenanceError('ERR_NPY', `'${name}' is not a usable .npy file: ${reason}`);
}
