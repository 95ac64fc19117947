import { CountenanceError } from '../errors.js';

/** Numbers of the tags that tell what the pixels mean. */
const tags = { bits: 258, compression: 259, colours: 262, sample: 339 } as const;

/** What `colours` (PhotometricInterpretation) means where its pixels can be read. */
const readable = [0, 1, 2, 3, 5, 6];
const cmyk = 5;
const yCbCr = 6;
const jpegCompression = 7;
const colourNames: Readonly<Record<number, string>> = {
  4: 'a mask, not an image',
  8: 'in the colour space CIELab',
  9: 'in the colour space ICCLab',
  10: 'in the colour space ITULab',
  32803: 'a raw file of a camera',
  34892: 'a raw file of a camera',
};

/**
 * Checks the pixels of a TIFF file, which may be of any kind: of numbers without a known black and white, such
 * as floats, libvips makes pixels too, but not those that were meant.
 *
 * @param name the image's name in messages
 * @returns whether they are CMYK
 * @throws CountenanceError ERR_IMAGE_DECODE
 */
export function checkTiff(bytes: Uint8Array, name: string): { readonly isCmyk: boolean } {
  const values = readTags(bytes);
  const value = (tag: keyof typeof tags, initial: number): number =>
    values.get(tags[tag]) ?? initial;
  const refuse = (what: string): CountenanceError =>
    new CountenanceError(
      'ERR_IMAGE_DECODE',
      `${name} is a TIFF ${what}: convert it to RGB or gray of 8 or 16 bits`,
    );
  const bits = value('bits', 1);
  const sample = value('sample', 1);
  if (sample === 3) throw refuse(`of ${bits}-bit floats, whose black and white are not known`);
  if (sample !== 1) throw refuse('of numbers that are not unsigned integers');
  if (![1, 2, 4, 8, 16].includes(bits)) throw refuse(`of ${bits} bits`);
  const colours = value('colours', 1);
  if (!readable.includes(colours)) {
    throw refuse(colourNames[colours] ?? `in the colour space ${colours}`);
  }
  if (colours === yCbCr && value('compression', 1) !== jpegCompression) {
    throw refuse('in the colour space YCbCr');
  }
  if (colours === cmyk && bits !== 8) throw refuse(`in CMYK of ${bits} bits`);
  return { isCmyk: colours === cmyk };
}

/** The first value of each integer tag of the first image, classic TIFF or BigTIFF; what is cut off is left out. */
function readTags(bytes: Uint8Array): Map<number, number> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = bytes[0] === 0x49;
  const found = new Map<number, number>();
  const short = (at: number): number => view.getUint16(at, little);
  const long = (at: number): number => view.getUint32(at, little);
  const wide = (at: number): number => Number(view.getBigUint64(at, little));
  try {
    const isBig = short(2) === 43;
    const [address, addressBytes] = isBig ? [wide, 8] : [long, 4];
    const directory = address(addressBytes);
    const first = directory + (isBig ? 8 : 2);
    const entries = isBig ? wide(directory) : short(directory);
    const entryBytes = 4 + 2 * addressBytes;
    for (let i = 0; i < Math.min(entries, 4096); i++) {
      const at = first + i * entryBytes;
      const size = { 1: 1, 3: 2, 4: 4 }[short(at + 2)];
      if (size === undefined) continue;
      const inline = at + 4 + addressBytes;
      const fits = address(at + 4) * size <= addressBytes;
      const from = fits ? inline : address(inline);
      const read = size === 1 ? bytes[from]! : size === 2 ? short(from) : long(from);
      found.set(short(at), read);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return found;
}
