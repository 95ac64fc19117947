import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readNpy } from '../../lib/weights/npy.js';
import { openWeights } from '../../lib/weights/open.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

interface Values {
  readonly shape: number[];
  readonly values: number[];
}

/** The files stored by make_writer_fixtures.py. */
const { files } = JSON.parse(readFileSync(join(__dirname, '../fixtures/writers.json'), 'utf8')) as {
  files: (
    | { kind: 'npy'; name: string; bytes: string; expected: Values | null }
    | { kind: 'safetensors'; name: string; bytes: string; expected: Record<string, Values> }
  )[];
};

describe('files of other writers', () => {
  const temporary = temporaryDirectory();

  for (const fixture of files) {
    const { kind, name, expected } = fixture;
    const store = async (): Promise<string> => {
      const file = temporary.path(`stored.${kind}`);
      await writeFile(file, Buffer.from(fixture.bytes, 'base64'));
      return file;
    };
    it(`${expected ? 'reads' : 'refuses'} ${kind === 'npy' ? 'numpy.save' : kind}: ${name}`, async () => {
      const file = await store();
      if (expected === null) {
        await rejectsWith(readNpy(file), 'ERR_NPY', 'stored.npy');
      } else if (kind === 'npy') {
        const { shape, data } = await readNpy(file);
        assert.deepEqual([...shape], expected.shape);
        assert.deepEqual(data, Float32Array.from(expected.values));
      } else {
        await using weights = await openWeights(file);
        assert.equal(weights.format, 'safetensors');
        assert.deepEqual(new Set(weights.tensors.keys()), new Set(Object.keys(expected)));
        for (const [key, { shape, values }] of Object.entries(expected)) {
          const tensor = weights.tensors.get(key)!;
          assert.deepEqual([...tensor.shape], shape, key);
          assert.deepEqual(await tensor.read(), Float32Array.from(values), key);
        }
      }
    });
  }

  it('reads the metadata of safetensors', async () => {
    const { bytes } = files.find(({ name }) => name === 'types')!;
    const file = temporary.path('types.safetensors');
    await writeFile(file, Buffer.from(bytes, 'base64'));
    await using weights = await openWeights(file);
    assert.deepEqual({ ...weights.metadata }, { format: 'pt', note: 'größer' });
  });
});
