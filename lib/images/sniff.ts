import { CountenanceError } from '../errors.js';
import { otherKind } from '../file-kinds.js';
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
  if (isSvg(head)) return { format: 'svg', what: 'SVG' };
  return { what: otherKind(head)?.replace(/^it is /, '') ?? 'in no known image format' };
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

/** Whether the first element of an XML text is that of an image. */
function isSvg(head: Buffer): boolean {
  const text = head.toString('utf8').replace(/^\ufeff/, '');
  return /^\s*(<(\?|!)[^>]*>\s*)*<svg[\s>]/i.test(text);
}
