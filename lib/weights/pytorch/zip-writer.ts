import { crc32 } from 'node:zlib';
import { CountenanceError } from '../../errors.js';
import { inSlices } from '../../turns.js';

/** A file inside the archive. */
export interface ZipContent {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** PyTorch starts every entry's content at a multiple of this, so that it can be mapped into memory. */
const alignment = 64;

/**
 * Without ZIP64, sizes and offsets have 32 bits and counts have 16; all bits set refer to a ZIP64 record.
 */
const sizeLimit = 0xffffffff;
const countLimit = 0xffff;
const localHeaderBytes = 30;
const centralHeaderBytes = 46;
const endBytes = 22;

/** The padding of an entry: an extra field named "FB", as PyTorch writes it. */
const padding = { id: 0x4246, headerBytes: 4 } as const;

/** Date of every entry, 1980-01-01: equal weights give equal files. */
const date = 0x21;

/**
 * A ZIP file of stored entries, as pieces; the contents are not copied.
 *
 * @throws CountenanceError ERR_UNSUPPORTED, before any work, if it could need ZIP64: 4 GiB or 65,535
 *   entries
 */
export async function encodeZip(contents: readonly ZipContent[]): Promise<Uint8Array[]> {
  if (contents.length >= countLimit || mostBytes(contents) >= sizeLimit) throw tooLarge();
  const pieces: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let position = 0;
  for (const { name, bytes } of contents) {
    const crc = await checksum(bytes);
    const path = Buffer.from(name, 'utf8');
    const start = position + localHeaderBytes + path.length + padding.headerBytes;
    const pad = Buffer.alloc(padding.headerBytes + ((alignment - (start % alignment)) % alignment));
    pad.writeUInt16LE(padding.id, 0);
    pad.writeUInt16LE(pad.length - padding.headerBytes, 2);
    const local = header(0x04034b50, localHeaderBytes, 4, crc, bytes.length, path.length);
    local.writeUInt16LE(pad.length, 28);
    pieces.push(local, path, pad, bytes);

    const central = header(0x02014b50, centralHeaderBytes, 6, crc, bytes.length, path.length);
    central.writeUInt16LE(20, 4); // made by version 2.0
    central.writeUInt32LE(position, 42);
    directory.push(central, path);
    position += local.length + path.length + pad.length + bytes.length;
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const end = Buffer.alloc(endBytes);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(contents.length, 8);
  end.writeUInt16LE(contents.length, 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(position, 16);
  return [...pieces, ...directory, end];
}

/** Size of the archive in bytes if every entry had the largest padding. */
function mostBytes(contents: readonly ZipContent[]): number {
  const perEntry = localHeaderBytes + padding.headerBytes + alignment + centralHeaderBytes;
  return contents.reduce(
    (sum, { name, bytes }) => sum + perEntry + 2 * Buffer.byteLength(name) + bytes.length,
    endBytes,
  );
}

/** The fields that a local header and a directory entry share, in the same order from `at`. */
function header(
  signature: number,
  bytes: number,
  at: number,
  crc: number,
  size: number,
  nameLength: number,
): Buffer {
  const result = Buffer.alloc(bytes);
  result.writeUInt32LE(signature, 0);
  result.writeUInt16LE(20, at); // needs version 2.0
  result.writeUInt16LE(0x0800, at + 2); // names are UTF-8
  result.writeUInt16LE(date, at + 8);
  result.writeUInt32LE(crc, at + 10);
  result.writeUInt32LE(size, at + 14);
  result.writeUInt32LE(size, at + 18);
  result.writeUInt16LE(nameLength, at + 22);
  return result;
}

async function checksum(bytes: Uint8Array): Promise<number> {
  let crc = 0;
  await inSlices(
    bytes.length,
    (start, end) => (crc = crc32(bytes.subarray(start, end), crc)),
    1 << 20,
  );
  return crc;
}

function tooLarge(): CountenanceError {
  return new CountenanceError(
    'ERR_UNSUPPORTED',
    'A PyTorch file of 4 GiB or more, or with more than 65,000 tensors, cannot be written: use safetensors',
  );
}
