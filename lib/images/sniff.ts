import { CountenanceError } from '../errors.js';
import type { ImageFormat } from './formats.js';

/** What some bytes are. */
export interface Sniffed {
  /** Absent if it is nothing that sharp decodes in any build. */
  readonly format?: ImageFormat;
  /** For a message, after "is". */
  readonly what: string;
  /** What to do about a file that cannot be decoded as it is. */
  readonly advice?: string;
}

/** Bytes of the start that are looked at. */
const window = 1024;

const convert = (tool: string): string => `convert it to JPEG or PNG first, with ${tool}`;

/** Formats by the bytes at the start, written as Latin-1. */
const signatures: readonly (readonly [start: string, Sniffed])[] = [
  ['\xff\xd8\xff', { format: 'jpeg', what: 'JPEG' }],
  ['\x89PNG\r\n\x1a\n', { format: 'png', what: 'PNG' }],
  ['GIF87a', { format: 'gif', what: 'GIF' }],
  ['GIF89a', { format: 'gif', what: 'GIF' }],
  ['II*\0', { format: 'tiff', what: 'TIFF' }],
  ['MM\0*', { format: 'tiff', what: 'TIFF' }],
  ['II+\0', { format: 'tiff', what: 'TIFF' }],
  ['MM\0+', { format: 'tiff', what: 'TIFF' }],
  ['%PDF-', { format: 'pdf', what: 'PDF', advice: convert('pdftoppm') }],
  ['\xff\x0a', { format: 'jxl', what: 'JPEG XL', advice: convert('djxl') }],
  ['\0\0\0\x0cJXL ', { format: 'jxl', what: 'JPEG XL', advice: convert('djxl') }],
  ['\0\0\0\x0cjP  ', { format: 'jp2', what: 'JPEG 2000', advice: convert('opj_decompress') }],
  ['\xff\x4f\xff\x51', { format: 'jp2', what: 'JPEG 2000', advice: convert('opj_decompress') }],
  ['BM', { what: 'BMP', advice: convert('ImageMagick') }],
  ['8BPS', { what: 'a Photoshop file', advice: convert('ImageMagick') }],
  ['\0\0\x01\0', { what: 'an icon (ICO)', advice: convert('ImageMagick') }],
  ['%!PS', { what: 'PostScript', advice: convert('ghostscript') }],
  ['#?RADIANCE', { what: 'Radiance HDR', advice: convert('ImageMagick') }],
  ['v/1\x01', { what: 'OpenEXR', advice: convert('ImageMagick') }],
  ['PK\x03\x04', { what: 'a zip archive, not an image', advice: 'unpack it first' }],
  ['\x1f\x8b', { what: 'compressed with gzip, not an image', advice: 'unpack it first' }],
  ['\x93NUMPY', { what: 'an array of NumPy, not an encoded image' }],
  [
    'version https://git-lfs',
    { what: 'a pointer of Git LFS, not the image itself', advice: 'run `git lfs pull` first' },
  ],
];

const heic: Sniffed = {
  format: 'heic',
  what: 'HEIC (photos of iPhones)',
  advice: `${convert('heif-convert')}, or set the phone to "Most Compatible"`,
};

/**
 * The format of an encoded image by its first bytes; a file name or a declared type does not count.
 *
 * @param name the image's name in messages, such as "Image 'a.jpg'"
 * @throws CountenanceError ERR_IMAGE_DECODE that says what it is instead, and what to do
 */
export function checkFormat(
  bytes: Uint8Array,
  name: string,
  allowed: readonly ImageFormat[],
): ImageFormat {
  if (bytes.length === 0) throw new CountenanceError('ERR_IMAGE_DECODE', `${name} is empty`);
  const { format, what, advice } = sniff(bytes);
  if (format !== undefined && allowed.includes(format)) return format;
  const isOffered = format !== undefined && advice === undefined;
  const reason = isOffered
    ? `is ${what}, but only ${allowed.join(', ')} are decoded here (option formats)`
    : `is ${what}${advice === undefined ? '' : `: ${advice}`}`;
  throw new CountenanceError('ERR_IMAGE_DECODE', `${name} ${reason}`);
}

/** What bytes are, by their start; files carry any name and any declared type. */
export function sniff(bytes: Uint8Array): Sniffed {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, window));
  const start = head.toString('latin1', 0, 32);
  const found = signatures.find(([signature]) => start.startsWith(signature));
  if (found) return found[1];
  if (/^RIFF.{4}WEBP/s.test(start)) return { format: 'webp', what: 'WebP' };
  if (/^RIFF.{4}AVI /s.test(start)) return video;
  if (/^.{4}ftyp/s.test(start)) return ofBrands(head);
  if (/^P[1-7]\s/.test(start)) return { what: 'a PNM image', advice: convert('ImageMagick') };
  return ofText(head) ?? { what: 'in no known image format' };
}

const video: Sniffed = { what: 'a video, not an image', advice: 'extract its frames with ffmpeg' };

/** A file of the ISO base media format: its brands tell what is inside. */
function ofBrands(head: Buffer): Sniffed {
  const length = Math.min(head.readUInt32BE(0), head.length);
  const brands = head.toString('latin1', 8, length);
  const has = (...names: readonly string[]): boolean => names.some((name) => brands.includes(name));
  if (has('avif', 'avis')) return { format: 'avif', what: 'AVIF' };
  if (has('hei', 'hev', 'mif1', 'msf1')) return heic;
  return video;
}

/** Text, or undefined for bytes that are none. */
function ofText(head: Buffer): Sniffed | undefined {
  const text = textOf(head);
  if (text === undefined) return undefined;
  if (/<svg[\s>]/i.test(text)) return { format: 'svg', what: 'SVG' };
  if (/^(<!doctype html|<html|<head|<body)/i.test(text)) {
    return {
      what: 'an HTML page, not an image',
      advice: 'the address it was downloaded from gave a page, perhaps one to log in',
    };
  }
  const line = text.split(/\s*[\r\n]/, 1)[0]!;
  return { what: `text, not an image; it begins with '${line.slice(0, 40)}'` };
}

/** UTF-8 or UTF-16 text without the mark and blanks at its start; undefined for bytes that are no text. */
function textOf(head: Buffer): string | undefined {
  const isUtf16 = head.length > 1 && head[0] === 0xff && head[1] === 0xfe;
  const text = head
    .toString(isUtf16 ? 'utf16le' : 'utf8')
    .replace(/^\ufeff?\s*/, '')
    .replace(/\ufffd$/, head.length < window ? '$&' : ''); // half a character
  // eslint-disable-next-line no-control-regex -- control characters are what it looks for
  return text === '' || /[\x00-\x08\x0e-\x1f\ufffd]/.test(text) ? undefined : text;
}
