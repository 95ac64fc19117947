import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import sharp from 'sharp';
import { rafdbClasses } from '../../lib/data/classes.js';
import { renderFace } from '../../lib/data/synthetic/face.js';
import type { RawImage } from '../../lib/types.js';

/** A synthetic face; contempt, which does not exist, borrows the face of disgust. */
export function syntheticFace(expression: string, index: number): Promise<RawImage> {
  const label = rafdbClasses.findIndex((name) => name === expression);
  return renderFace(label < 0 ? rafdbClasses.indexOf('disgust') : label, 7, 0, index);
}

/** Writes a synthetic face as JPEG or PNG, by the file's extension, with its parent folders. */
export async function writeFace(file: string, expression: string, index: number): Promise<void> {
  const { data, width, height } = await syntheticFace(expression, index);
  await mkdir(dirname(file), { recursive: true });
  await sharp(data, { raw: { width, height, channels: 3 } }).toFile(file);
}

/** Writes a file with its parent folders. */
export async function writeBelow(file: string, content: string | Uint8Array): Promise<string> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
  return file;
}

/** The bytes of an .npy file, as `numpy.save` writes a value without dimensions. */
export function npyScalar(descr: string, data: Uint8Array, shape = '()'): Uint8Array {
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  const header = `${text.padEnd(117 - ((10 + 117 + 1) % 64))}\n`;
  const head = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, 0, 0]);
  head.writeUInt16LE(header.length, 8);
  return Buffer.concat([head, Buffer.from(header), data]);
}

/** The output of `np.save(file, '3')`: text of one character, in UCS-4. */
export function npyText(text: string): Uint8Array {
  const data = new Uint8Array(4 * text.length);
  for (let i = 0; i < text.length; i++) data[4 * i] = text.charCodeAt(i);
  return npyScalar(`<U${text.length}`, data);
}
