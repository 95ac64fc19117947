import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import type { TensorData } from '../../lib/types.js';
import { findDuplicateKey } from '../../lib/weights/json-keys.js';
import { decodeSmallFloat } from '../../lib/weights/small-floats.js';
import {
  encodeSafetensors,
  readSafetensors,
  writeSafetensors,
} from '../../lib/weights/safetensors.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

/** A safetensors file with any header text and any data. */
function rawFile(header: string, data: Uint8Array = new Uint8Array(0), length?: bigint): Buffer {
  const text = Buffer.from(header, 'utf8');
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(length ?? BigInt(text.length));
  return Buffer.concat([start, text, data]);
}

const entry = (dtype: string, shape: number[], begin: number, end: number): object => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

describe('safetensors', () => {
  const temporary = temporaryDirectory();

  async function readRaw(bytes: Uint8Array): ReturnType<typeof readSafetensors> {
    const file = temporary.path('raw.safetensors');
    await writeFile(file, bytes);
    return readSafetensors(file);
  }

  async function refuses(bytes: Uint8Array, ...reasons: string[]): Promise<void> {
    await rejectsWith(readRaw(bytes), 'ERR_SAFETENSORS', 'raw.safetensors', ...reasons);
  }

  it('writes and reads tensors and metadata bit for bit', async () => {
    const tensors = new Map<string, TensorData>([
      [
        'encoder.conv1.weight',
        { shape: [2, 3], data: Float32Array.of(1, -0, 1e-45, 3e38, NaN, 0.1) },
      ],
      ['scalar', { shape: [], data: Float32Array.of(7) }],
      ['empty', { shape: [0, 4], data: new Float32Array(0) }],
      ['name with "quotes" and ümlaut', { shape: [1], data: Float32Array.of(2) }],
    ]);
    const file = temporary.path('model.safetensors');
    await writeSafetensors(file, tensors, { format: 'pt', note: 'a "quoted" note' });
    const read = await readSafetensors(file);
    assert.deepEqual({ ...read.metadata }, { format: 'pt', note: 'a "quoted" note' });
    assert.deepEqual(new Set(read.tensors.keys()), new Set(tensors.keys()));
    for (const [name, { shape, data }] of tensors) {
      const tensor = read.tensors.get(name)!;
      assert.deepEqual(tensor.shape, shape);
      assert.equal(tensor.dtype, 'F32');
      assert.deepEqual(Buffer.from(tensor.data.buffer), Buffer.from(data.buffer), name);
    }
  });

  it('starts the data at a multiple of 8 bytes', () => {
    for (const name of ['a', 'ab', 'abc', 'ä']) {
      const [start] = encodeSafetensors(
        new Map([[name, { shape: [1], data: new Float32Array(1) }]]),
      );
      assert.equal(start!.length % 8, 0);
    }
  });

  it('reads F16, BF16, F64 and I64 as float32', async () => {
    const half = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000, 0x7c00);
    const brain = Uint16Array.of(0x3f80, 0xc000);
    const double = Float64Array.of(0.1, -2);
    const long = BigInt64Array.of(12345n, -1n);
    const data = Buffer.concat([half, brain, double, long].map((a) => Buffer.from(a.buffer)));
    const { tensors } = await readRaw(
      rawFile(
        JSON.stringify({
          half: entry('F16', [6], 0, 12),
          brain: entry('BF16', [2], 12, 16),
          double: entry('F64', [2], 16, 32),
          long: entry('I64', [2], 32, 48),
        }),
        data,
      ),
    );
    assert.deepEqual([...tensors.get('half')!.data], [1, -2, 2 ** -24, 65504, -0, Infinity]);
    assert.deepEqual([...tensors.get('brain')!.data], [1, -2]);
    assert.deepEqual([...tensors.get('double')!.data], [Math.fround(0.1), -2]);
    assert.deepEqual([...tensors.get('long')!.data], [12345, -1]);
    assert.equal(tensors.get('long')!.dtype, 'I64');
    assert.ok(Number.isNaN(decodeSmallFloat(0x7e00, 'F16')));
  });

  it('reads only the tensors asked for', async () => {
    const file = temporary.path('some.safetensors');
    const one = { shape: [1], data: Float32Array.of(1) };
    await writeSafetensors(
      file,
      new Map([
        ['a', one],
        ['b', one],
      ]),
    );
    const { tensors } = await readSafetensors(file, { names: new Set(['b']) });
    assert.deepEqual([...tensors.keys()], ['b']);
  });

  it('refuses truncated files, at every length', async () => {
    const tensors = new Map([['x', { shape: [3], data: Float32Array.of(1, 2, 3) }]]);
    const whole = Buffer.concat(encodeSafetensors(tensors));
    for (let length = 0; length < whole.length; length++) {
      await refuses(whole.subarray(0, length));
    }
    await refuses(Buffer.concat([whole, Buffer.alloc(1)]), 'trailing bytes');
  });

  it('refuses a header that claims to be huge without allocating it', async () => {
    await refuses(rawFile('{}', undefined, 2n ** 63n), 'limit');
    await refuses(rawFile('{}', undefined, 99_000_000n), 'truncated');
  });

  it('refuses overlapping offsets and gaps', async () => {
    const overlap = { a: entry('F32', [2], 0, 8), b: entry('F32', [2], 4, 12) };
    await refuses(rawFile(JSON.stringify(overlap), new Uint8Array(12)), "'b'", 'overlaps');
    const gap = { a: entry('F32', [1], 0, 4), b: entry('F32', [1], 8, 12) };
    await refuses(rawFile(JSON.stringify(gap), new Uint8Array(12)), "'b'", 'gap');
    const late = { a: entry('F32', [1], 4, 8) };
    await refuses(rawFile(JSON.stringify(late), new Uint8Array(8)), "'a'", 'gap');
    const reversed = { a: entry('F32', [1], 8, 4) };
    await refuses(rawFile(JSON.stringify(reversed), new Uint8Array(8)), "'a'");
  });

  it('refuses wrong and unsupported dtypes', async () => {
    await refuses(
      rawFile('{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}', new Uint8Array(4)),
      'F33',
    );
    await refuses(
      rawFile('{"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}}', new Uint8Array(4)),
      'dtype 7',
    );
    await refuses(
      rawFile('{"a":{"dtype":"toString","shape":[1],"data_offsets":[0,4]}}', new Uint8Array(4)),
    );
    await refuses(
      rawFile(JSON.stringify({ a: entry('C64', [1], 0, 8) }), new Uint8Array(8)),
      'C64',
      'supported are',
    );
  });

  it('refuses shapes that do not fit their bytes', async () => {
    await refuses(
      rawFile(JSON.stringify({ a: entry('F32', [3], 0, 8) }), new Uint8Array(8)),
      '[3]',
    );
    const overflow = { a: entry('F32', [2 ** 31, 2 ** 31], 0, 0) };
    await refuses(rawFile(JSON.stringify(overflow)), 'Infinity');
    await refuses(
      rawFile('{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', new Uint8Array(4)),
      'shape',
    );
    await refuses(
      rawFile('{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,6]}}', new Uint8Array(6)),
      'shape',
    );
    await refuses(
      rawFile('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}', new Uint8Array(4)),
      'data_offsets',
    );
  });

  it('refuses headers that are no such object', async () => {
    await refuses(rawFile('[]'), "start with '{'");
    await refuses(rawFile('{"a":'), 'JSON');
    await refuses(rawFile('{"a":1}'), "'a'");
    await refuses(rawFile('{"__metadata__":{"a":1}}'), '__metadata__');
    await refuses(rawFile('{"__metadata__":[]}'), '__metadata__');
    await refuses(Buffer.concat([rawFile('{}').subarray(0, 8), Buffer.from([0x7b, 0xff])]), 'JSON');
    const extra = { a: { ...entry('F32', [1], 0, 4), code: 'os.system' } };
    await refuses(rawFile(JSON.stringify(extra), new Uint8Array(4)), "'code'");
  });

  it('refuses a key that stands twice', async () => {
    const one = '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
    await refuses(rawFile(`{${one},${one}}`, new Uint8Array(4)), "'a' twice");
    assert.equal(findDuplicateKey('{"a":{"x":1},"b":{"x":2},"c":["x","x"]}'), undefined);
    assert.equal(findDuplicateKey('{"a\\"":1, "b":{"c"  :1,"\\u0063" :2}}'), 'c');
    assert.equal(findDuplicateKey(`{"a"${' '.repeat(99)}:1,"a":2}`), 'a');
  });

  it('survives a file of random bytes and single flipped bytes', async () => {
    const tensors = new Map([['x', { shape: [3], data: Float32Array.of(1, 2, 3) }]]);
    const whole = Buffer.concat(encodeSafetensors(tensors, { format: 'pt' }));
    const headerEnd = 8 + Number(whole.readBigUInt64LE());
    for (let position = 0; position < headerEnd; position++) {
      const broken = Buffer.from(whole);
      broken[position]! ^= 0x15;
      // Some flips only rename the tensor; all others must be rejected, never crash.
      await readRaw(broken).catch((error: unknown) =>
        rejectsWith(Promise.reject(error as Error), 'ERR_SAFETENSORS'),
      );
    }
  });

  it('names a missing file, a directory and a wrong tensor', async () => {
    await rejectsWith(readSafetensors(temporary.path('none')), 'ERR_FILE_NOT_FOUND', 'none');
    await mkdir(temporary.path('folder'));
    await rejectsWith(readSafetensors(temporary.path('folder')), 'ERR_NOT_A_FILE', 'folder');
    const wrong = new Map([['x', { shape: [2, 2], data: new Float32Array(3) }]]);
    await rejectsWith(() => encodeSafetensors(wrong), 'ERR_SHAPE_MISMATCH', "'x'", '[2, 2]');
  });

  it('leaves the old file and no temporary file when writing fails', async () => {
    const file = temporary.path('folder', 'kept.safetensors');
    const tensors = new Map([['x', { shape: [1], data: Float32Array.of(1) }]]);
    await writeSafetensors(file, tensors);
    const before = await readFile(file);
    await rejectsWith(writeSafetensors(temporary.path('folder'), tensors), 'ERR_WRITE', 'folder');
    await rejectsWith(
      writeSafetensors(temporary.path('no', 'x'), tensors),
      'ERR_WRITE',
      'does not exist',
    );
    assert.deepEqual(await readFile(file), before);
    assert.deepEqual(await readdir(temporary.path('folder')), ['kept.safetensors']);
    await truncate(file, 20);
    await rejectsWith(readSafetensors(file), 'ERR_SAFETENSORS', 'kept.safetensors');
  });
});
