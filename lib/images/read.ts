import { describeValue } from '../check.js';
import { CountenanceError, messageOf, throwIfAborted } from '../errors.js';
import { readLimit } from '../files.js';
import { asBytes } from '../realm.js';
import type { BlobLike, ByteStream } from './input.js';

/**
 * The bytes of a Blob.
 *
 * @param name the image's name in messages, such as "Image 'images[0]'"
 * @throws CountenanceError ERR_READ
 */
export async function readBlob(blob: BlobLike, name: string): Promise<Uint8Array> {
  if (blob.size > readLimit) throw tooLong(name);
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch (error) {
    throw readFailure(name, error);
  }
}

/**
 * All bytes of a stream. If reading ends early, the stream is closed; an abort does not wait for a stalled
 * stream.
 *
 * @throws CountenanceError ERR_READ for an error of the stream or more than 1 GiB, ERR_INVALID_ARGUMENT for
 *   pieces that are not bytes, ERR_ABORTED
 */
export async function readStream(
  stream: ByteStream,
  name: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const iterator = stream[Symbol.asyncIterator]();
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<'aborted'>((resolve) => {
    onAbort = () => resolve('aborted');
    signal?.addEventListener('abort', onAbort);
  });
  const pieces: Uint8Array[] = [];
  let length = 0;
  let ended = false;
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted]);
      throwIfAborted(signal, 'Decoding');
      if (next === 'aborted') continue;
      if (next.done) break;
      const piece = asBytes(next.value);
      if (!piece) {
        throw new CountenanceError(
          'ERR_INVALID_ARGUMENT',
          `${name} must be a stream of bytes but gave ${describeValue(next.value)}`,
        );
      }
      length += piece.length;
      if (length > readLimit) throw tooLong(name);
      pieces.push(piece);
    }
    ended = true;
    return Buffer.concat(pieces, length);
  } catch (error) {
    throw error instanceof CountenanceError ? error : readFailure(name, error);
  } finally {
    if (onAbort) signal?.removeEventListener('abort', onAbort);
    if (!ended) abandon(stream, iterator);
  }
}

/** Closes a stream that is no longer needed; a Node stream at once, even while it is waiting. */
function abandon(stream: ByteStream, iterator: AsyncIterator<Uint8Array>): void {
  const { destroy } = stream as { destroy?: unknown };
  if (typeof destroy === 'function') destroy.call(stream);
  void Promise.resolve(iterator.return?.()).catch(() => undefined);
}

/**
 * The bytes of a `data:` URL (RFC 2397).
 *
 * @throws CountenanceError ERR_IMAGE_DECODE
 */
export function readDataUrl({ href }: URL): Uint8Array {
  const match = /^data:([^,]*),(.*)$/s.exec(href);
  if (!match) {
    throw new CountenanceError('ERR_IMAGE_DECODE', 'A data: URL of an image has no comma');
  }
  const [, type = '', content = ''] = match;
  // A URL is ASCII: every other byte is written as %xx.
  const bytes = content.replace(/%([0-9a-f]{2})/gi, (_, digits: string) =>
    String.fromCharCode(parseInt(digits, 16)),
  );
  return Buffer.from(bytes, /;\s*base64\s*$/i.test(type) ? 'base64' : 'latin1');
}

function tooLong(name: string): CountenanceError {
  return new CountenanceError('ERR_READ', `${name} has more bytes than the limit of ${readLimit}`);
}

function readFailure(name: string, error: unknown): CountenanceError {
  return new CountenanceError('ERR_READ', `${name} could not be read: ${messageOf(error)}`, {
    cause: error,
  });
}
