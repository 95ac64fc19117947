/** Pieces of hand-made pickles. */
export const pickle = {
  start: Buffer.from([0x80, 2]),
  stop: Buffer.from('.'),
  text: (value: string): Buffer => {
    const content = Buffer.from(value, 'utf8');
    const start = Buffer.alloc(5);
    start.write('X', 'latin1');
    start.writeUInt32LE(content.length, 1);
    return Buffer.concat([start, content]);
  },
  global: (module: string, name: string): Buffer => Buffer.from(`c${module}\n${name}\n`),
  /** A complete pickle. */
  of: (...pieces: (Buffer | string)[]): Buffer =>
    Buffer.concat([
      pickle.start,
      ...pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)),
      pickle.stop,
    ]),
  /** A float32 tensor of a storage: its persistent id, then the call that rebuilds it. */
  tensor: (key: string, count: number, shape: number[], strides: number[], offset = 0): Buffer =>
    Buffer.concat([
      pickle.global('torch._utils', '_rebuild_tensor_v2'),
      Buffer.from('(('),
      pickle.text('storage'),
      pickle.global('torch', 'FloatStorage'),
      pickle.text(key),
      pickle.text('cpu'),
      int(count),
      Buffer.from('tQ'),
      int(offset),
      ints(shape),
      ints(strides),
      Buffer.from([0x89]),
      Buffer.from('NtR'),
    ]),
};

function int(value: number): Buffer {
  const bytes = Buffer.alloc(10);
  bytes[0] = 0x8a;
  bytes[1] = 8;
  bytes.writeBigInt64LE(BigInt(value), 2);
  return bytes;
}

function ints(values: number[]): Buffer {
  return Buffer.concat([Buffer.from('('), ...values.map(int), Buffer.from('t')]);
}

/** An entry of a hand-made ZIP file; `directory` overrides what the ZIP directory says of it. */
export interface HostileEntry {
  readonly name: string;
  readonly content: Uint8Array;
  readonly directory?: {
    readonly name?: string;
    readonly flags?: number;
    readonly method?: number;
    readonly crc?: number;
    readonly compressedSize?: number;
    readonly size?: number;
    readonly offset?: number;
  };
}

/** A ZIP file whose directory may be wrong. Checksums are 0, "none", unless given. */
export function makeZip(entries: readonly HostileEntry[], count = entries.length): Buffer {
  const pieces: Buffer[] = [];
  const directory: Buffer[] = [];
  let position = 0;
  for (const { name, content, directory: lies = {} } of entries) {
    const { flags = 0, method = 0, crc = 0, size = content.length } = lies;
    const { compressedSize = content.length, offset = position } = lies;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(method, 8);
    local.writeUInt16LE(Buffer.byteLength(name), 26);
    pieces.push(local, Buffer.from(name), Buffer.from(content));
    const listed = Buffer.from(lies.name ?? name);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(flags, 8);
    central.writeUInt16LE(method, 10);
    central.writeUInt32LE(crc, 16);
    central.writeUInt32LE(compressedSize, 20);
    central.writeUInt32LE(size, 24);
    central.writeUInt16LE(listed.length, 28);
    central.writeUInt32LE(offset, 42);
    directory.push(central, listed);
    position += local.length + Buffer.byteLength(name) + content.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(Buffer.concat(directory).length, 12);
  end.writeUInt32LE(position, 16);
  return Buffer.concat([...pieces, ...directory, end]);
}

/** A PyTorch file around a pickle. */
export function makePyTorch(
  data: Buffer,
  storages: Readonly<Record<string, Uint8Array>> = {},
): Buffer {
  return makeZip([
    { name: 'x/data.pkl', content: data },
    ...Object.entries(storages).map(([key, content]) => ({ name: `x/data/${key}`, content })),
  ]);
}

/** The same in the form before PyTorch 1.6: a stream of pickles, then the storages of float32 elements. */
export function makeLegacy(
  data: Buffer,
  storages: Readonly<Record<string, Uint8Array>> = {},
): Buffer {
  const magic = Buffer.from('8a0a6cfc9c46f9206aa85019', 'hex');
  const keys = Object.keys(storages).map((key) => Buffer.concat([pickle.text(key), append]));
  const pieces = [
    ...[pickle.of(magic), pickle.of('M\xe9\x03'), pickle.of('}')],
    ...[data, pickle.of(']', ...keys)],
  ];
  for (const content of Object.values(storages)) {
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(content.length / 4));
    pieces.push(count, Buffer.from(content));
  }
  return Buffer.concat(pieces);
}

const append = Buffer.from('a');
