import { promisify } from 'node:util';
import { crc32, inflateRaw } from 'node:zlib';
import { throwIfAborted } from '../../errors.js';
import { inSlices, nextTurn } from '../../turns.js';
import type { FileReader } from '../file-reader.js';
import type { Fail } from '../weights-file.js';
import { quote } from './values.js';

/**
 * The part of the ZIP format (PKWARE APPNOTE 6.3) that PyTorch's files use: entries stored or deflated,
 * 64-bit sizes, no encryption, one disk. Only the central directory is trusted, after its checks: every
 * entry is inside the file, none overlaps another, no name occurs twice, no name leaves its folder.
 */
export interface ZipEntry {
  readonly name: string;
  /** Size of the content in bytes. */
  readonly size: number;
  readonly compressedSize: number;
  readonly isDeflated: boolean;
  /** 0 if the writer computed none. */
  readonly crc: number;
  readonly headerOffset: number;
  /** Where the next entry or the central directory starts. */
  readonly limit: number;
}

const signatures = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50 } as const;
const zip64 = {
  locator: 0x07064b50,
  end: 0x06064b50,
  extra: 0x0001,
  locatorBytes: 20,
  endBytes: 56,
};
const localHeaderBytes = 30;
const centralHeaderBytes = 46;
const endBytes = 22;

/** Largest central directory: 16 MiB, about 200,000 entries. */
const directoryLimit = 1 << 24;

/** Entries parsed between two turns of the event loop. */
const entriesPerTurn = 2048;

/** Largest content of a deflated entry, which must be in memory as a whole: 256 MiB. */
const inflateLimit = 1 << 28;

/** DEFLATE's highest ratio (https://zlib.net/zlib_tech.html): a larger size is false. */
const highestRatio = 1032;

const inflate = promisify(inflateRaw);

/** A ZIP file whose entries are read on demand. */
export class ZipArchive {
  /** Entries whose checksum was verified. */
  private readonly verified = new Set<string>();

  private constructor(
    private readonly file: FileReader,
    readonly entries: ReadonlyMap<string, ZipEntry>,
    private readonly fail: Fail,
  ) {}

  /** Reads and checks the central directory. */
  static async open(file: FileReader, fail: Fail): Promise<ZipArchive> {
    const end = await findEnd(file, fail);
    if (end.size > directoryLimit) {
      throw fail(`its ZIP directory claims ${end.size} bytes, more than ${directoryLimit}`);
    }
    if (end.offset + end.size > end.position) throw fail('its ZIP directory is truncated');
    const bytes = await file.read(end.offset, end.size);
    return new ZipArchive(file, await parseDirectory(bytes, end, fail), fail);
  }

  /**
   * Reads bytes [begin, end) of an entry into a new buffer; the checksum of the whole entry is verified
   * once.
   */
  async read(
    entry: ZipEntry,
    begin = 0,
    end = entry.size,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const start = await this.contentStart(entry);
    if (entry.isDeflated) {
      const whole = await this.inflate(entry, start, signal);
      return new Uint8Array(whole.subarray(begin, end));
    }
    if (begin === 0 && end === entry.size) {
      const whole = await this.file.read(start, entry.size, signal);
      await this.verify(entry, (from, to) => whole.subarray(from, to));
      return whole;
    }
    await this.verify(entry, (from, to) => this.file.read(start + from, to - from, signal));
    return this.file.read(start + begin, end - begin, signal);
  }

  /**
   * Where the content starts: the lengths of name and extra field in the local header may differ from those
   * in the directory.
   */
  private async contentStart(entry: ZipEntry): Promise<number> {
    const bytes = await this.file.read(entry.headerOffset, localHeaderBytes);
    const view = new DataView(bytes.buffer);
    const nameLength = view.getUint16(26, true);
    const start = entry.headerOffset + localHeaderBytes + nameLength + view.getUint16(28, true);
    const method = entry.isDeflated ? 8 : 0;
    if (
      view.getUint32(0, true) !== signatures.local ||
      view.getUint16(8, true) !== method ||
      start + entry.compressedSize > entry.limit
    ) {
      throw this.fail(`its entry ${quote(entry.name)} contradicts the ZIP directory`);
    }
    const name = await this.file.read(entry.headerOffset + localHeaderBytes, nameLength);
    if (decodeName(name) !== entry.name) {
      throw this.fail(`its entry ${quote(entry.name)} has another name in the ZIP directory`);
    }
    return start;
  }

  private async inflate(
    entry: ZipEntry,
    start: number,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const { name, size, compressedSize } = entry;
    if (size > inflateLimit || size > highestRatio * (compressedSize + 1)) {
      throw this.fail(`its compressed entry ${quote(name)} claims ${size} bytes`);
    }
    const packed = await this.file.read(start, compressedSize, signal);
    let content: Uint8Array;
    try {
      content = await inflate(packed, { maxOutputLength: Math.max(size, 1) });
    } catch {
      throw this.fail(`its compressed entry ${quote(name)} is damaged or larger than it says`);
    }
    throwIfAborted(signal, `Reading '${this.file.path}'`);
    if (content.length !== size)
      throw this.fail(`its compressed entry ${quote(name)} is truncated`);
    await this.verify(entry, (from, to) => content.subarray(from, to));
    return content;
  }

  /** Verifies the checksum, unless that was done before or the writer left it out. */
  private async verify(
    entry: ZipEntry,
    read: (from: number, to: number) => Uint8Array | Promise<Uint8Array>,
  ): Promise<void> {
    if (entry.crc === 0 || this.verified.has(entry.name)) return;
    let crc = 0;
    for (let from = 0; from < entry.size; from += checkedAtOnce) {
      const to = Math.min(from + checkedAtOnce, entry.size);
      const piece = await read(from, to);
      await inSlices(piece.length, (a, b) => (crc = crc32(piece.subarray(a, b), crc)), crcSlice);
    }
    if (crc !== entry.crc)
      throw this.fail(`the checksum of its entry ${quote(entry.name)} is wrong`);
    this.verified.add(entry.name);
  }
}

/** Bytes read at once only to verify the checksum. */
const checkedAtOnce = 1 << 24;

/** Bytes that are checksummed between two turns of the event loop: about 1 ms. */
const crcSlice = 1 << 20;

interface Directory {
  /** Where the directory starts in the file. */
  readonly offset: number;
  readonly size: number;
  readonly count: number;
  /** Where the record that ends the file starts. */
  readonly position: number;
}

/** The last record of the file, which may be followed by a comment of up to 64 KiB. */
async function findEnd(file: FileReader, fail: Fail): Promise<Directory> {
  const length = Math.min(file.size, endBytes + 0xffff);
  const bytes = await file.read(file.size - length, length);
  const view = new DataView(bytes.buffer);
  for (let i = length - endBytes; i >= 0; i--) {
    if (view.getUint32(i, true) !== signatures.end) continue;
    if (i + endBytes + view.getUint16(i + 20, true) !== length) continue;
    const position = file.size - length + i;
    const [disk, directoryDisk] = [view.getUint16(i + 4, true), view.getUint16(i + 6, true)];
    const large = await findZip64End(file, position, fail);
    if (large) return large;
    if (disk !== 0 || directoryDisk !== 0) throw fail('it is one part of a split ZIP file');
    return {
      count: view.getUint16(i + 10, true),
      size: view.getUint32(i + 12, true),
      offset: view.getUint32(i + 16, true),
      position,
    };
  }
  throw fail('the end of its ZIP directory is missing (truncated?)');
}

/** The record with 64-bit sizes, if the file has one. */
async function findZip64End(
  file: FileReader,
  endPosition: number,
  fail: Fail,
): Promise<Directory | undefined> {
  if (endPosition < zip64.locatorBytes + zip64.endBytes) return undefined;
  const locator = await file.read(endPosition - zip64.locatorBytes, zip64.locatorBytes);
  const locatorView = new DataView(locator.buffer);
  if (locatorView.getUint32(0, true) !== zip64.locator) return undefined;
  const position = Number(locatorView.getBigUint64(8, true));
  if (position > endPosition - zip64.locatorBytes - zip64.endBytes) {
    throw fail('its ZIP64 directory is outside the file');
  }
  const bytes = await file.read(position, zip64.endBytes);
  const view = new DataView(bytes.buffer);
  if (view.getUint32(0, true) !== zip64.end) throw fail('its ZIP64 directory is damaged');
  return {
    count: Number(view.getBigUint64(32, true)),
    size: Number(view.getBigUint64(40, true)),
    offset: Number(view.getBigUint64(48, true)),
    position,
  };
}

async function parseDirectory(
  bytes: Uint8Array,
  directory: Directory,
  fail: Fail,
): Promise<Map<string, ZipEntry>> {
  const found: Omit<ZipEntry, 'limit'>[] = [];
  for (let at = 0; at < bytes.length;) {
    const { entry, next } = parseEntry(bytes, at, fail);
    found.push(entry);
    at = next;
    if (found.length % entriesPerTurn === 0) await nextTurn();
  }
  if (found.length !== directory.count) {
    throw fail(`its ZIP directory has ${found.length} entries, not ${directory.count}`);
  }
  found.sort((a, b) => a.headerOffset - b.headerOffset);
  const entries = new Map<string, ZipEntry>();
  found.forEach((entry, i) => {
    const limit = found[i + 1]?.headerOffset ?? directory.offset;
    if (entry.headerOffset + localHeaderBytes + entry.compressedSize > limit) {
      throw fail(`its entry ${quote(entry.name)} overlaps what follows it`);
    }
    if (entries.has(entry.name)) throw fail(`it has the entry ${quote(entry.name)} twice`);
    entries.set(entry.name, { ...entry, limit });
  });
  return entries;
}

function parseEntry(
  bytes: Uint8Array,
  at: number,
  fail: Fail,
): { entry: Omit<ZipEntry, 'limit'>; next: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (at + centralHeaderBytes > bytes.length || view.getUint32(at, true) !== signatures.central) {
    throw fail('its ZIP directory is damaged');
  }
  const nameEnd = at + centralHeaderBytes + view.getUint16(at + 28, true);
  const extraEnd = nameEnd + view.getUint16(at + 30, true);
  const next = extraEnd + view.getUint16(at + 32, true);
  if (next > bytes.length) throw fail('its ZIP directory is truncated');
  const name = decodeName(bytes.subarray(at + centralHeaderBytes, nameEnd));
  if (!isPlainPath(name)) throw fail(`its entry ${quote(name)} has a name that is not allowed`);
  if (view.getUint16(at + 8, true) & 1) throw fail(`its entry ${quote(name)} is encrypted`);
  const method = view.getUint16(at + 10, true);
  if (method !== 0 && method !== 8) {
    throw fail(`its entry ${quote(name)} is compressed by the unknown method ${method}`);
  }
  const [size, compressedSize, headerOffset] = readSizes(view, at, nameEnd, extraEnd, () =>
    fail(`the sizes of its entry ${quote(name)} are damaged`),
  );
  if (method === 0 && size !== compressedSize) {
    throw fail(`its stored entry ${quote(name)} has two different sizes`);
  }
  const crc = view.getUint32(at + 16, true);
  const isDeflated = method === 8;
  return { entry: { name, size, compressedSize, isDeflated, crc, headerOffset }, next };
}

/**
 * Size, compressed size and header offset; those with all 32 bits set are in the ZIP64 extra field instead,
 * in this order.
 */
function readSizes(
  view: DataView,
  at: number,
  extraStart: number,
  extraEnd: number,
  damaged: () => Error,
): [number, number, number] {
  const sizes: [number, number, number] = [
    view.getUint32(at + 24, true),
    view.getUint32(at + 20, true),
    view.getUint32(at + 42, true),
  ];
  if (!sizes.includes(0xffffffff)) return sizes;
  for (let field = extraStart; field + 4 <= extraEnd;) {
    const start = field + 4;
    const end = start + view.getUint16(field + 2, true);
    if (end > extraEnd) break;
    if (view.getUint16(field, true) === zip64.extra) {
      let position = start;
      for (const i of [0, 1, 2]) {
        if (sizes[i] !== 0xffffffff) continue;
        if (position + 8 > end) throw damaged();
        sizes[i] = Number(view.getBigUint64(position, true));
        position += 8;
      }
      if (!sizes.every(Number.isSafeInteger)) throw damaged();
      return sizes;
    }
    field = end;
  }
  throw damaged();
}

function decodeName(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/**
 * A relative path that stays in its folder. Nothing is unpacked to disk: this is a second line of defence.
 */
function isPlainPath(name: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what it looks for
  const isPrintable = name !== '' && !/[\\\x00-\x1f\x7f]/.test(name);
  const parts = name.replace(/\/$/, '').split('/');
  return isPrintable && parts.every((part) => part !== '' && part !== '.' && part !== '..');
}
