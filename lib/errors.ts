import './disposal.js';

/**
 * Every error code of the project with its meaning. The native addon throws the same codes
 * (a JavaScript `Error` with a `code` property), so this list is the one place that defines them.
 */
export const errorCodes = {
  /** A file or directory that was named does not exist. */
  ERR_FILE_NOT_FOUND: 'a file or directory does not exist',
  /** A directory (or device, socket, ...) was named where a file is needed. */
  ERR_NOT_A_FILE: 'something other than a regular file was named where a file is needed',
  /** A file was named where a directory is needed. */
  ERR_NOT_A_DIRECTORY: 'something other than a directory was named where a directory is needed',
  /** A file exists but could not be read (permission, input/output error, ...). */
  ERR_READ: 'a file exists but could not be read',
  /** An image could not be decoded: unknown format, truncated or corrupt. */
  ERR_IMAGE_DECODE: 'an image is in no known format, is truncated or is corrupt',
  /** Image dimensions are zero, absurdly large, or do not match the data. */
  ERR_IMAGE_SIZE: 'image dimensions are zero, too large, or do not match the data',
  /** The number of image channels is not 1, 2, 3 or 4. */
  ERR_IMAGE_CHANNELS: 'an image has an unusable number of channels',
  /** A value that must be finite (image, embedding, weight) is NaN or infinite. */
  ERR_NOT_FINITE: 'a value that must be finite is NaN or infinite',
  /** A vector that must be normalised (a text embedding) has zero norm. */
  ERR_ZERO_NORM: 'a vector that must be normalised has zero norm',
  /** A class label is outside 0..K-1, or a soft label is not a distribution. */
  ERR_LABEL_RANGE: 'a label is outside the classes, or a soft label is not a distribution',
  /** A batch is larger than the plan it is run on. */
  ERR_BATCH_TOO_LARGE: 'a batch is larger than planned',
  /** A data set contains no images at all. */
  ERR_DATASET_EMPTY: 'a data set contains no images',
  /** A class of a data set has no images. */
  ERR_DATASET_CLASS_EMPTY: 'a class of a data set has no images',
  /** A data set does not follow its format (specification, folder layout, label file). */
  ERR_DATASET_FORMAT: 'a data set does not follow its format',
  /** A safetensors file is truncated, inconsistent or contains an unsupported type. */
  ERR_SAFETENSORS: 'a safetensors file breaks the format or contains an unsupported type',
  /** An .npy file breaks the format or contains an unsupported type. */
  ERR_NPY: 'an .npy file breaks the format or contains an unsupported type',
  /** A PyTorch file (.pth, .pt, .bin) is truncated, inconsistent or contains an unsupported type. */
  ERR_PYTORCH: 'a PyTorch file breaks its format or contains an unsupported type',
  /** The weights in a pickle depend on a name outside the allow-list; nothing in it was run. */
  ERR_UNSAFE_PICKLE: 'the weights in a pickle depend on something that could run code',
  /** Tensor names or shapes differ from what the model needs. */
  ERR_SHAPE_MISMATCH: 'tensor names or shapes differ from what is needed',
  /** Text embeddings are unusable: unknown file type, wrong classes, no neutral row. */
  ERR_TEXT_EMBEDDINGS: 'text embeddings do not fit: file type, classes or dimension',
  /** A text encoder is incomplete, could not be loaded, or is of another kind. */
  ERR_TEXT_ENCODER: 'a text encoder is incomplete, could not be loaded or is of another kind',
  /** A model directory or checkpoint is incomplete or inconsistent. */
  ERR_CHECKPOINT: 'a model directory or checkpoint is incomplete or inconsistent',
  /** A file or directory could not be written (permission, full disk, ...). */
  ERR_WRITE: 'a file or directory could not be written',
  /** An object was used after `close()`. */
  ERR_CLOSED: 'an object was used after it was closed',
  /** A job is already running on an object that runs one at a time. */
  ERR_BUSY: 'another job is still running on the same object',
  /** An AbortSignal stopped the work. */
  ERR_ABORTED: 'the work was stopped by an AbortSignal',
  /** An argument has the wrong type or is outside its range. */
  ERR_INVALID_ARGUMENT: 'an argument has the wrong type or is outside its range',
  /** The requested device is not available on this machine. */
  ERR_DEVICE_UNAVAILABLE: 'the requested device is not available on this machine',
  /** Memory for a plan, tensor or image could not be allocated. */
  ERR_OUT_OF_MEMORY: 'memory could not be allocated',
  /** Something valid that this build does not support. */
  ERR_UNSUPPORTED: 'something this build does not support',
  /** A face detector could not be loaded, or failed on an image. */
  ERR_FACE_DETECTOR: 'a face detector could not be loaded, or failed on an image',
  /** An optional package that is needed now is not installed. */
  ERR_PEER_MISSING: 'an optional package that is needed here is not installed',
  /** An optional package is installed but does not load, or is of a version that lacks what is needed. */
  ERR_PEER_LOAD: 'an optional package is installed but does not load',
  /** `countenance build` lacks a tool, or a compiler failed. */
  ERR_BUILD: 'building the CUDA plugin lacks a tool or failed',
  /** The native addon could not be loaded. */
  ERR_NATIVE_LOAD: 'the native addon could not be loaded',
  /** A mistake inside countenance: please report it. */
  ERR_INTERNAL: 'a mistake inside countenance',
} as const;

/** One of the stable codes a {@link CountenanceError} carries. */
export type ErrorCode = keyof typeof errorCodes;

/** True if `code` is one of {@link errorCodes}. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorCodes, code);
}

/**
 * The only error class that users see. `code` is stable and meant for programs, `message` names what was
 * wrong and is meant for people, `cause` is the underlying error, if any.
 *
 * @example
 * try {
 *   await predictor.predict('face.jpg');
 * } catch (error) {
 *   if (error instanceof CountenanceError && error.code === 'ERR_FILE_NOT_FOUND') { ... }
 * }
 */
export class CountenanceError extends Error {
  override readonly name = 'CountenanceError';
  readonly code: ErrorCode;

  /** @param message is put on one line, since it may contain text from a file or a user */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(oneLine(message), options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
  }
}

/** The message of anything that was thrown, on one line. */
export function messageOf(error: unknown): string {
  // An error of another realm is no `instanceof Error` here.
  const { message } = (error ?? {}) as { message?: unknown };
  return oneLine((typeof message === 'string' ? message : String(error)).trim());
}

/** A path, URL or name for a message, with the middle of a very long one left out. */
export function shortened(text: string, limit = 200): string {
  if (text.length <= limit) return text;
  const end = Math.floor(limit / 3);
  return `${text.slice(0, limit - end - 3)}...${text.slice(-end)}`;
}

/** A text without line breaks and other control characters, which a terminal would interpret. */
function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what it looks for
  return text.replace(/\s*[\n\r\u2028\u2029]\s*/g, '; ').replace(/[\x00-\x1f\x7f-\x9f]/g, '?');
}

/** The `code` of a Node system error such as `ENOENT`, or undefined. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Converts anything thrown to a CountenanceError. One that already is one is returned unchanged; a native
 * error keeps its code and message; anything else gets `fallback` as its code.
 */
export function toCountenanceError(
  error: unknown,
  fallback: ErrorCode = 'ERR_INTERNAL',
  prefix = '',
): CountenanceError {
  if (error instanceof CountenanceError) return error;
  const code = systemCode(error);
  const message = prefix + messageOf(error);
  return new CountenanceError(isErrorCode(code) ? code : fallback, message, { cause: error });
}

/** The same error with `prefix` before its message. */
export function withPrefix(error: unknown, prefix: string): CountenanceError {
  const { code, message } = toCountenanceError(error);
  return new CountenanceError(code, prefix + message, { cause: error });
}

const readReasons: Readonly<Record<string, [ErrorCode, string]>> = {
  ENOENT: ['ERR_FILE_NOT_FOUND', 'does not exist'],
  ENOTDIR: ['ERR_FILE_NOT_FOUND', 'does not exist (a part of its path is not a directory)'],
  EISDIR: ['ERR_NOT_A_FILE', 'is a directory, not a file'],
  EACCES: ['ERR_READ', 'may not be read (permission denied)'],
  EPERM: ['ERR_READ', 'may not be read (operation not permitted)'],
  ENAMETOOLONG: ['ERR_FILE_NOT_FOUND', 'has a name that is too long'],
};

/**
 * A CountenanceError for a failed read of `path`.
 *
 * @param what how the message refers to it, such as "Image" or "Model directory"
 */
export function readError(what: string, path: string, error: unknown): CountenanceError {
  if (error instanceof CountenanceError) return error;
  const [code, reason] = readReasons[systemCode(error) ?? ''] ?? [
    'ERR_READ',
    `could not be read: ${messageOf(error)}`,
  ];
  return new CountenanceError(code, `${what} '${shortened(path)}' ${reason}`, { cause: error });
}

const writeReasons: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left on the device',
  EDQUOT: 'disk quota exceeded',
  EFBIG: 'the file is larger than allowed',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
  ENOTDIR: 'a part of the path is not a directory',
  ENOENT: 'the directory does not exist',
  EISDIR: 'it is a directory',
  EEXIST: 'it exists and is not a directory',
  ENAMETOOLONG: 'the name is too long',
};

/** An ERR_WRITE that names `path` and the reason. */
export function writeError(path: string, error: unknown): CountenanceError {
  if (error instanceof CountenanceError) return error;
  const reason = writeReasons[systemCode(error) ?? ''] ?? messageOf(error);
  return new CountenanceError('ERR_WRITE', `Could not write '${shortened(path)}': ${reason}`, {
    cause: error,
  });
}

/** True if work ended with `error` because `signal` is aborted. */
export function isAbortOf(signal: AbortSignal | undefined, error: unknown): boolean {
  const isAbort = error instanceof CountenanceError && error.code === 'ERR_ABORTED';
  return isAbort && signal?.aborted === true;
}

/** Throws ERR_ABORTED if `signal` is aborted; its reason becomes the cause. */
export function throwIfAborted(signal: AbortSignal | undefined, what = 'The work'): void {
  if (signal?.aborted) {
    throw new CountenanceError('ERR_ABORTED', `${what} was aborted`, { cause: signal.reason });
  }
}
