import { readRegularFile } from '../../files.js';
import { badNpy, parseNpyHeader } from '../../weights/npy.js';

/**
 * Reads an .npy file with a single integer, stored as a number of any type or as text (by `np.save(file,
 * str(label))`).
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, ERR_NPY
 */
export async function readNpyInteger(file: string): Promise<number> {
  const bytes = await readRegularFile(file, 'Label file');
  const { descr, shape, dataStart } = parseNpyHeader(bytes, file);
  const count = shape.reduce((product, size) => product * size, 1);
  if (count !== 1) throw badNpy(file, `it contains ${count} values; expected one label`);
  const [, order, kind, digits] = /^([<>|=])([UiufS])(\d{1,3})$/.exec(descr) ?? [];
  const size = Number(digits) * (kind === 'U' ? 4 : 1); // U counts UCS-4 characters
  if (order === undefined || kind === undefined) {
    const advice = 'save it again: np.save(f, int(np.load(f, allow_pickle=True)))';
    throw badNpy(file, `its element type ${descr} is not a number or text; ${advice}`);
  }
  const data = bytes.subarray(dataStart);
  if (data.length !== size) {
    throw badNpy(file, `${descr} needs ${size} bytes, but ${data.length} follow`);
  }
  const value = decode(kind, data, order !== '>');
  if (!Number.isSafeInteger(value)) throw badNpy(file, 'it does not hold an integer');
  return value!;
}

function decode(kind: string, data: Buffer, little: boolean): number | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  switch (`${kind}${data.length}`) {
    case 'i1':
      return view.getInt8(0);
    case 'u1':
      return view.getUint8(0);
    case 'i2':
      return view.getInt16(0, little);
    case 'u2':
      return view.getUint16(0, little);
    case 'i4':
      return view.getInt32(0, little);
    case 'u4':
      return view.getUint32(0, little);
    case 'i8':
      return Number(view.getBigInt64(0, little));
    case 'u8':
      return Number(view.getBigUint64(0, little));
    case 'f4':
      return view.getFloat32(0, little);
    case 'f8':
      return view.getFloat64(0, little);
  }
  if (kind !== 'U' && kind !== 'S') return undefined;
  const text = data.toString('latin1').replaceAll('\0', '').trim();
  return /^-?\d+$/.test(text) ? Number(text) : undefined;
}
