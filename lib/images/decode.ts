import { fileURLToPath } from 'node:url';
import sharp, { type OutputInfo, type Sharp } from 'sharp';
import { describeValue, invalidArgument } from '../check.js';
import { CountenanceError, messageOf, shortened, throwIfAborted } from '../errors.js';
import { readRegularFile } from '../files.js';
import { asBytes, isArrayBuffer, isUrl } from '../realm.js';
import type { RawImage } from '../types.js';
import { cmykToRgb } from './cmyk.js';
import { checkFormats, type ImageFormat } from './formats.js';
import { isBlob, isPixelData, isSharp, isStream, isTensorLike, type ImageInput } from './input.js';
import { jpegComponents } from './jpeg.js';
import { checkDimensions, fromPixels, fromTensor, pixelLimit, toRgb } from './pixels.js';
import { readBlob, readDataUrl, readStream } from './read.js';
import { checkFormat } from './sniff.js';
import { checkTiff } from './tiff.js';

/** Options of {@link decodeImage}. */
export interface DecodeOptions {
  /** The image's name in messages; a path is its own name. */
  readonly name?: string | undefined;
  /**
   * Formats of encoded images that may be decoded. What counts is what the bytes are, not a file's name or a
   * declared type. Default {@link defaultFormats}.
   */
  readonly formats?: readonly ImageFormat[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Decodes any {@link ImageInput} to 8-bit RGB, off the main thread.
 *
 * Encoded images are decoded as by Pillow's `convert('RGB')`, with which the published models were trained:
 * colour profiles are ignored, gray is replicated to three channels, alpha is dropped, CMYK is converted by
 * formula. 16 bits are scaled to 8. The EXIF orientation is applied. Of an animation, the first frame is used.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, ERR_IMAGE_DECODE,
 *   ERR_IMAGE_SIZE, ERR_IMAGE_CHANNELS, ERR_NOT_FINITE, ERR_INVALID_ARGUMENT, ERR_ABORTED
 * @example
 * const { data, width, height } = await decodeImage('face.jpg');
 */
export async function decodeImage(
  input: ImageInput,
  options: DecodeOptions = {},
): Promise<RawImage> {
  const { signal } = options;
  throwIfAborted(signal, 'Decoding');
  const formats = checkFormats(options.formats);
  const decode = (bytes: Uint8Array, name: string): Promise<RawImage> =>
    decodeBytes(bytes, name, formats);
  if (typeof input === 'string' || isUrl(input)) {
    const name = `Image '${describeImage(input)}'`;
    const url = typeof input === 'string' ? urlOf(input) : input;
    if (url?.protocol === 'data:') return decode(readDataUrl(url), name);
    const bytes = await readRegularFile(url ? pathOf(url) : (input as string), 'Image');
    throwIfAborted(signal, 'Decoding');
    return decode(bytes, name);
  }
  const name = options.name === undefined ? 'Image' : `Image '${shortened(options.name)}'`;
  if (isArrayBuffer(input)) return decode(new Uint8Array(input), name);
  const encoded = asBytes(input);
  if (encoded) return decode(encoded, name);
  if (typeof input === 'object' && input !== null) {
    if (isSharp(input)) return ofPipeline(input.clone(), name);
    if (isTensorLike(input)) return fromTensor(input, name);
    if (isPixelData(input)) return fromPixels(input, name);
    if (isBlob(input)) return decode(await readBlob(input, name), name);
    if (isStream(input)) return decode(await readStream(input, name, signal), name);
  }
  throw invalidArgument(
    'a path, file URL, Buffer, Blob, stream, sharp instance, { data, width, height } or tensor',
    'an image',
    input,
  );
}

/** The name of an image in messages: its path, or a description. A data: URL contains the whole image. */
export function describeImage(input: ImageInput): string {
  if (typeof input !== 'string' && !isUrl(input)) return describeValue(input);
  const text = typeof input === 'string' ? input : input.href;
  return /^data:/i.test(text) ? `${text.slice(0, 40)}...` : shortened(text);
}

/** A string that is a URL: one that starts with the scheme of a data: or file: URL, or of the web. */
function urlOf(text: string): URL | undefined {
  return /^(data:|(file|https?):\/\/)/i.test(text) ? new URL(text) : undefined;
}

function pathOf(url: URL): string {
  if (url.protocol !== 'file:') {
    throw new CountenanceError(
      'ERR_INVALID_ARGUMENT',
      `Expected a file: or data: URL for an image but received '${shortened(url.href)}'; ` +
        'fetch it and pass its body',
    );
  }
  try {
    return fileURLToPath(url.href);
  } catch {
    throw invalidArgument('a file: URL of this machine', 'an image', url.href);
  }
}

async function decodeBytes(
  bytes: Uint8Array,
  name: string,
  formats: readonly ImageFormat[],
): Promise<RawImage> {
  const format = checkFormat(bytes, name, formats);
  const isCmyk =
    format === 'tiff'
      ? checkTiff(bytes, name).isCmyk
      : format === 'jpeg' && jpegComponents(bytes) === 4;
  // 'error' also rejects truncated data; a mere warning (stray bytes in a JPEG) is ignored, as by Pillow.
  // sharp knows Buffers of any realm, but Uint8Arrays of its own only.
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pipeline = sharp(buffer, {
    failOn: 'error',
    limitInputPixels: pixelLimit,
    ignoreIcc: true,
    autoOrient: true,
  });
  if (!isCmyk) return ofPipeline(pipeline, name);
  const cmyk = pipeline.pipelineColourspace('cmyk').toColourspace('cmyk');
  const { data, info } = await pixelsOf(cmyk, name);
  const { width, height, channels } = info;
  return { data: await cmykToRgb(data, channels), width, height };
}

async function ofPipeline(pipeline: Sharp, name: string): Promise<RawImage> {
  const { data, info } = await pixelsOf(pipeline.toColourspace('srgb').removeAlpha(), name);
  const { width, height, channels } = info;
  return channels === 3 ? { data, width, height } : toRgb(data, width, height, channels);
}

/** The bytes of a pipeline's pixels. */
async function pixelsOf(
  pipeline: Sharp,
  name: string,
): Promise<{ readonly data: Uint8Array; readonly info: OutputInfo }> {
  let result: { data: Buffer; info: OutputInfo };
  try {
    result = await pipeline.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  } catch (error) {
    // libvips repeats itself, such as "bad seek to 1024" for each try: the first line is enough.
    const reason = shortened(messageOf(error).split('; ', 1)[0]!);
    const code = reason.includes('pixel limit') ? 'ERR_IMAGE_SIZE' : 'ERR_IMAGE_DECODE';
    throw new CountenanceError(code, `${name} could not be decoded: ${reason}`, { cause: error });
  }
  const { data, info } = result;
  checkDimensions(info.width, info.height, name);
  return { data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), info };
}
