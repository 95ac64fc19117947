import type { Sharp } from 'sharp';

/** The order of colours in memory. */
export const pixelOrders = ['RGB', 'BGR'] as const;

/** Pixels in memory: 8-bit or 0..255 float values, interleaved, rows from top to bottom. */
export interface PixelData {
  readonly data: Uint8Array | Uint8ClampedArray | Float32Array;
  readonly width: number;
  readonly height: number;
  /** 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha; derived from the data's length if omitted. */
  readonly channels?: number;
  /** `BGR` for BGR and BGRA, such as frames of OpenCV and of many cameras. Default `RGB`. */
  readonly order?: (typeof pixelOrders)[number];
}

/** The part of a TensorFlow.js tensor that is used; recognised by structure, so no package is required. */
export interface TensorLike {
  /** [height, width, channels] or [1, height, width, channels]. */
  readonly shape: readonly number[];
  /** 'int32' or 'float32', values 0..255. */
  readonly dtype: string;
  data(): Promise<ArrayLike<number>>;
}

/** The part of a Blob or File (such as an upload from a web form) that is used. */
export interface BlobLike {
  readonly size: number;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** The bytes of one encoded file in pieces: a Node or web stream, such as the body of a request. */
export type ByteStream = AsyncIterable<Uint8Array>;

/**
 * Everything that is accepted as an image: a path, a `file:` or `data:` URL (also as a string), an encoded
 * file (JPEG, PNG, WebP, AVIF, GIF, TIFF, and others by the option `formats`) as bytes, Blob or stream, a
 * sharp instance, pixels in memory (also the DOM's ImageData), or a TensorFlow.js tensor.
 */
export type ImageInput =
  string | URL | Uint8Array | ArrayBuffer | BlobLike | ByteStream | Sharp | PixelData | TensorLike;

/** True for a sharp pipeline, from any installed copy of sharp. */
export function isSharp(value: object): value is Sharp {
  const candidate = value as Partial<Sharp>;
  return (
    typeof candidate.clone === 'function' &&
    typeof candidate.toBuffer === 'function' &&
    typeof candidate.removeAlpha === 'function'
  );
}

/** True for a TensorFlow.js tensor, from any installed copy of TensorFlow.js. */
export function isTensorLike(value: object): value is TensorLike {
  const candidate = value as Partial<TensorLike>;
  return (
    Array.isArray(candidate.shape) &&
    typeof candidate.dtype === 'string' &&
    typeof candidate.data === 'function'
  );
}

/** True for `{ data, width, height }`. */
export function isPixelData(value: object): value is PixelData {
  return 'data' in value && 'width' in value && 'height' in value && ArrayBuffer.isView(value.data);
}

/** True for a Blob or File, of any implementation. */
export function isBlob(value: object): value is BlobLike {
  const candidate = value as Partial<BlobLike>;
  return typeof candidate.size === 'number' && typeof candidate.arrayBuffer === 'function';
}

/** True for a stream. Check {@link isSharp} first: a sharp instance is a stream too. */
export function isStream(value: object): value is ByteStream {
  return Symbol.asyncIterator in value;
}
