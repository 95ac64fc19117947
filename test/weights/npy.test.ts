import assert from 'node:assert/strict';
import { parseNpy, readNpy } from '../../lib/weights/npy.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

/** An .npy file as numpy.save writes it: the header padded so that the data starts at 64 bytes. */
function npy(header: string, data: ArrayBufferView, version = 1): Uint8Array {
  const lengthBytes = version === 1 ? 2 : 4;
  const padding = (64 - ((8 + lengthBytes + header.length + 1) % 64)) % 64;
  const text = `${header}${' '.repeat(padding)}\n`;
  const start = Buffer.alloc(8 + lengthBytes);
  start.write('\x93NUMPY', 'latin1');
  start[6] = version;
  if (version === 1) start.writeUInt16LE(text.length, 8);
  else start.writeUInt32LE(text.length, 8);
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([start, Buffer.from(text, 'latin1'), bytes]);
}

const header = (descr: string, shape: string, fortran = 'False'): string =>
  `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }`;

describe('npy', () => {
  const temporary = temporaryDirectory();

  it('reads float32, float64 and float16 of versions 1 to 3', async () => {
    const values = [1, -2, 0.5, 4, 5, 6];
    for (const version of [1, 2, 3]) {
      const single = npy(header('<f4', '(2, 3)'), Float32Array.from(values), version);
      assert.deepEqual(await parseNpy(single, 'x'), {
        shape: [2, 3],
        data: Float32Array.from(values),
      });
    }
    const double = await parseNpy(npy(header('<f8', '(6,)'), Float64Array.from(values)), 'x');
    assert.deepEqual(double, { shape: [6], data: Float32Array.from(values) });
    const half = npy(header('<f2', '(2, 1)'), Uint16Array.of(0x3c00, 0xc000));
    assert.deepEqual(await parseNpy(half, 'x'), { shape: [2, 1], data: Float32Array.of(1, -2) });
  });

  it('refuses what it cannot read, and says why', async () => {
    const data = new Float32Array(6);
    const refuses = (bytes: Uint8Array, reason: string): Promise<unknown> =>
      rejectsWith(parseNpy(bytes, 'text.npy'), 'ERR_NPY', 'text.npy', reason);
    await refuses(Buffer.from('hello, this is text'), "a text that starts with 'hello,");
    await refuses(Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]), 'signature');
    await refuses(npy(header('<f4', '(2, 3)'), data).subarray(0, 140), 'needs 24 bytes');
    await refuses(npy(header('<f4', '(2, 3)'), data).subarray(0, 30), 'truncated');
    await refuses(npy(header('<f4', '(2, 3)', 'True'), data), 'Fortran');
    await refuses(npy(header('>f4', '(2, 3)'), data), '>f4');
    await refuses(npy(header('|O', '(2, 3)'), data), '|O');
    await refuses(npy(header('constructor', '(2, 3)'), data), 'constructor');
    await refuses(npy(header('<f4', '(99999999999, 9999999999)'), data), 'needs');
    await refuses(npy(header('<f4', '(2, 3)'), data, 9), 'version 9');
    await refuses(npy("{'descr': [('a', '<f4')], 'shape': (6,), }", data), 'element type');
    await rejectsWith(readNpy(temporary.path('none.npy')), 'ERR_FILE_NOT_FOUND', 'none.npy');
  });
});
