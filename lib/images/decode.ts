import { fileURLToPath } from 'node:url';
import sharp, { type OutputInfo, type Sharp } from 'sharp';
import { describeValue, invalidArgument } from '../check.js';
import { CountenanceError, messageOf, throwIfAborted } from '../errors.js';
import { standIn } from '../file-kinds.js';
import { readRegularFile } from '../files.js';
import type { RawImage } from '../types.js';
import { isBlob, isPixelData, isSharp, isStream, isTensorLike, type ImageInput } from './input.js';
import { checkDimensions, fromPixels, fromTensor, pixelLimit, toRgb } from './pixels.js';
import { readBlob, readDataUrl, readStream } from './read.js';

/**
 * Decodes any {@link ImageInput} to 8-bit RGB, off the main thread.
 *
 * Encoded images are decoded as by Pillow, with which the published models were trained: colour profiles
 * are ignored, gray is replicated to three channels, alpha is dropped. The EXIF orientation is applied. Of
 * an animation, the first frame is used.
 *
 * @param options `name`: the image's name in messages; a path is its own name
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, ERR_IMAGE_DECODE,
 *   ERR_IMAGE_SIZE, ERR_IMAGE_CHANNELS, ERR_NOT_FINITE, ERR_INVALID_ARGUMENT, ERR_ABORTED
 * @example
 * const { data, width, height } = await decodeImage('face.jpg');
 */
export async function decodeImage(
  input: ImageInput,
  options: { name?: string | undefined; signal?: AbortSignal | undefined } = {},
): Promise<RawImage> {
  throwIfAborted(options.signal, 'Decoding');
  if (input instanceof URL && input.protocol === 'data:') {
    return decodeBytes(readDataUrl(input), `Image '${shortened(input.href)}'`);
  }
  if (typeof input === 'string' || input instanceof URL) {
    const path = typeof input === 'string' ? input : urlPath(input);
    const bytes = await readRegularFile(path, 'Image');
    throwIfAborted(options.signal, 'Decoding');
    return decodeBytes(bytes, `Image '${path}'`);
  }
  const name = options.name === undefined ? 'Image' : `Image '${options.name}'`;
  if (input instanceof ArrayBuffer) return decodeBytes(new Uint8Array(input), name);
  if (input instanceof Uint8Array) return decodeBytes(input, name);
  if (typeof input === 'object' && input !== null) {
    if (isSharp(input)) return runPipeline(input.clone(), name);
    if (isTensorLike(input)) return fromTensor(input, name);
    if (isPixelData(input)) return fromPixels(input, name);
    if (isBlob(input)) return decodeBytes(await readBlob(input, name), name);
    if (isStream(input)) return decodeBytes(await readStream(input, name, options.signal), name);
  }
  throw invalidArgument(
    'a path, file URL, Buffer, Blob, stream, sharp instance, { data, width, height } or tensor',
    'an image',
    input,
  );
}

/** The name of an image in messages: its path, or a description. */
export function describeImage(input: ImageInput): string {
  if (typeof input === 'string') return input;
  if (input instanceof URL) return shortened(input.href);
  return describeValue(input);
}

/** A data: URL contains the whole image, too long for a message. */
function shortened(href: string): string {
  return href.length > 60 ? `${href.slice(0, 57)}...` : href;
}

function urlPath(url: URL): string {
  if (url.protocol !== 'file:') {
    throw new CountenanceError(
      'ERR_INVALID_ARGUMENT',
      `Expected a file: or data: URL for an image but received '${url.href}'; ` +
        'fetch it and pass its body',
    );
  }
  return fileURLToPath(url);
}

async function decodeBytes(bytes: Uint8Array, name: string): Promise<RawImage> {
  if (bytes.length === 0) throw new CountenanceError('ERR_IMAGE_DECODE', `${name} is empty`);
  const kind = standIn(bytes);
  // An SVG image is an XML text.
  if (kind !== undefined && !kind.includes('XML')) {
    throw new CountenanceError('ERR_IMAGE_DECODE', `${name} could not be decoded: ${kind}`);
  }
  // 'error' also rejects truncated data; a mere warning (stray bytes in a JPEG) is ignored, as by Pillow.
  return runPipeline(
    sharp(bytes, {
      failOn: 'error',
      limitInputPixels: pixelLimit,
      ignoreIcc: true,
      autoOrient: true,
    }),
    name,
  );
}

async function runPipeline(pipeline: Sharp, name: string): Promise<RawImage> {
  let result: { data: Buffer; info: OutputInfo };
  try {
    result = await pipeline
      .toColourspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
  } catch (error) {
    const reason = messageOf(error);
    const code = reason.includes('pixel limit') ? 'ERR_IMAGE_SIZE' : 'ERR_IMAGE_DECODE';
    throw new CountenanceError(code, `${name} could not be decoded: ${reason}`, { cause: error });
  }
  const { data, info } = result;
  checkDimensions(info.width, info.height, name);
  if (info.channels === 3) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return { data: bytes, width: info.width, height: info.height };
  }
  return toRgb(data, info.width, info.height, info.channels);
}
