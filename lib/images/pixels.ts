import { checkChoice, invalidArgument } from '../check.js';
import { CountenanceError } from '../errors.js';
import { asBytes, asFloats } from '../realm.js';
import { inSlices } from '../turns.js';
import type { RawImage } from '../types.js';
import { pixelOrders, type PixelData, type TensorLike } from './input.js';

/** Maximum number of pixels of an image (Pillow's limit against decompression bombs). */
export const pixelLimit = 178_956_970;

/** Checks a width and height before anything is allocated from them. */
export function checkDimensions(width: number, height: number, name: string): void {
  const valid = Number.isSafeInteger(width) && Number.isSafeInteger(height);
  if (!valid || width < 1 || height < 1) {
    throw new CountenanceError(
      'ERR_IMAGE_SIZE',
      `${name} must have a positive integer width and height but has ${width} x ${height}`,
    );
  }
  if (width * height > pixelLimit) {
    throw new CountenanceError(
      'ERR_IMAGE_SIZE',
      `${name} has ${width} x ${height} pixels, more than the limit of ${pixelLimit}`,
    );
  }
}

/** Pixels in memory as 8-bit RGB. */
export async function fromPixels(pixels: PixelData, name: string): Promise<RawImage> {
  const { data, width, height } = pixels;
  checkDimensions(width, height, name);
  const count = width * height;
  const channels = pixels.channels ?? data.length / count;
  checkChannels(channels, name);
  if (data.length !== count * channels) {
    throw new CountenanceError(
      'ERR_IMAGE_SIZE',
      `${name} of ${width} x ${height} x ${channels} needs ${count * channels} values ` +
        `but has ${data.length}`,
    );
  }
  const isBgr = checkOrder(pixels, channels, name);
  const bytes = asBytes(data);
  if (bytes) return toRgb(bytes, width, height, channels, isBgr);
  const floats = asFloats(data);
  if (floats) return toRgb(await quantise(floats, name), width, height, channels, isBgr);
  const arrays = 'Uint8Array, Uint8ClampedArray or Float32Array';
  throw invalidArgument(arrays, `the data of ${name}`, data);
}

/** Whether the pixels are BGR or BGRA. */
function checkOrder({ order = 'RGB' }: PixelData, channels: number, name: string): boolean {
  const isBgr = checkChoice(order, `the order of ${name}`, pixelOrders) === 'BGR';
  if (!isBgr || channels >= 3) return isBgr;
  throw invalidArgument('3 or 4 channels with the order BGR', `the channels of ${name}`, channels);
}

/** A TensorFlow.js tensor as 8-bit RGB. The tensor is not disposed. */
export async function fromTensor(tensor: TensorLike, name: string): Promise<RawImage> {
  const shape =
    tensor.shape.length === 4 && tensor.shape[0] === 1 ? tensor.shape.slice(1) : tensor.shape;
  const [height, width, channels] = shape;
  if (shape.length !== 3 || height === undefined || width === undefined || channels === undefined) {
    throw new CountenanceError(
      'ERR_IMAGE_SIZE',
      `${name} must be a tensor of shape [height, width, channels] or [1, height, width, channels] ` +
        `but has shape [${tensor.shape.join(', ')}]`,
    );
  }
  if (tensor.dtype !== 'int32' && tensor.dtype !== 'float32') {
    throw invalidArgument('dtype int32 or float32 with values 0..255', name, tensor.dtype);
  }
  checkDimensions(width, height, name);
  checkChannels(channels, name);
  const values = await tensor.data();
  if (values.length !== width * height * channels) {
    throw new CountenanceError(
      'ERR_IMAGE_SIZE',
      `${name} has shape [${shape.join(', ')}] but ${values.length} values`,
    );
  }
  return toRgb(await quantise(values, name), width, height, channels);
}

/** @throws CountenanceError ERR_IMAGE_CHANNELS */
function checkChannels(channels: number, name: string): void {
  if (![1, 2, 3, 4].includes(channels)) {
    throw new CountenanceError(
      'ERR_IMAGE_CHANNELS',
      `${name} must have 1, 2, 3 or 4 channels but has ${channels}`,
    );
  }
}

/**
 * Numbers 0..255 as bytes, rounded to nearest. Values that are all in 0..1 are rejected rather than read as
 * a black image: that range is a common mistake.
 */
export async function quantise(values: ArrayLike<number>, name: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(values.length);
  let largest = 0;
  let fractions = false;
  await inSlices(values.length, (start, end) => {
    for (let i = start; i < end; i++) {
      const value = values[i]!;
      if (!(value >= 0 && value <= 255)) throw badValue(value, name);
      if (value > largest) largest = value;
      const rounded = Math.round(value);
      if (rounded !== value) fractions = true;
      bytes[i] = rounded;
    }
  });
  if (fractions && largest <= 1) {
    throw new CountenanceError(
      'ERR_INVALID_ARGUMENT',
      `${name} contains values from 0 to ${largest}; expected 0..255 (multiply by 255)`,
    );
  }
  return bytes;
}

function badValue(value: number, name: string): CountenanceError {
  return Number.isFinite(value)
    ? new CountenanceError(
        'ERR_INVALID_ARGUMENT',
        `${name} contains the value ${value} outside 0..255`,
      )
    : new CountenanceError('ERR_NOT_FINITE', `${name} contains ${value}`);
}

/**
 * Converts interleaved values to RGB as Pillow's `convert('RGB')` does: gray is replicated, alpha is
 * dropped without blending.
 */
export async function toRgb(
  samples: Uint8Array,
  width: number,
  height: number,
  channels: number,
  isBgr = false,
): Promise<RawImage> {
  const count = width * height;
  const data = new Uint8Array(count * 3);
  if (channels === 3 && !isBgr) {
    data.set(samples);
  } else {
    const isColour = channels >= 3;
    const red = isBgr ? 2 : 0;
    const green = isColour ? 1 : 0;
    const blue = isColour ? 2 - red : 0;
    await inSlices(count, (start, end) => {
      for (let pixel = start; pixel < end; pixel++) {
        const from = pixel * channels;
        data[pixel * 3] = samples[from + red]!;
        data[pixel * 3 + 1] = samples[from + green]!;
        data[pixel * 3 + 2] = samples[from + blue]!;
      }
    });
  }
  return { data, width, height };
}
