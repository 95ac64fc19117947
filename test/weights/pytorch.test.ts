import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { openWeights } from '../../lib/weights/open.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';
import { pytorchFixture, pytorchFixtures } from './support.js';

describe('PyTorch files', function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  async function store(bytes: Uint8Array, name = 'weights.pth'): Promise<string> {
    const file = directory.path(name);
    await writeFile(file, bytes);
    return file;
  }

  for (const version of ['1.13', '2.13']) {
    describe(`of PyTorch ${version}`, () => {
      for (const { name, bytes, tensors, asksFor } of pytorchFixtures(version)) {
        if (asksFor !== undefined) {
          it(`refuses ${name}`, async () => {
            const open = openWeights(await store(bytes));
            await rejectsWith(open, 'ERR_UNSAFE_PICKLE', 'weights.pth', asksFor, 'state_dict');
          });
          continue;
        }
        it(`reads ${name}`, async () => {
          await using file = await openWeights(await store(bytes));
          assert.equal(file.format, name.startsWith('legacy') ? 'pytorch legacy' : 'pytorch');
          assert.deepEqual(new Set(file.tensors.keys()), new Set(Object.keys(tensors!)));
          for (const [key, { shape, values }] of Object.entries(tensors!)) {
            const tensor = file.tensors.get(key)!;
            assert.deepEqual([...tensor.shape], shape, key);
            const expected = Float32Array.from(values, toNumber);
            assert.deepEqual(await tensor.read(), expected, key);
          }
        });
      }
    });
  }

  it('tells the texts and numbers beside the tensors', async () => {
    for (const form of ['zip', 'legacy']) {
      await using file = await openWeights(await store(pytorchFixture(`${form}, checkpoint`)));
      const { metadata } = file;
      assert.equal(metadata['epoch'], '3');
      assert.equal(metadata['best'], '0.875', 'a NumPy float64');
      assert.equal(metadata['seen'], '12345', 'a NumPy int64');
      assert.equal(metadata['arch'], 'resnet18');
      assert.equal(metadata['args.lr'], '0.1', 'an argparse.Namespace');
      assert.equal(metadata['optimizer.param_groups.0.lr'], '0.01');
    }
  });

  it('names the types in the file', async () => {
    await using file = await openWeights(await store(pytorchFixture('zip, types')));
    const dtypes = [...file.tensors].map(([, { dtype }]) => dtype).join(' ');
    assert.equal(dtypes, 'F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL F32');
  });

  it('goes by the content, not by the name', async () => {
    await using file = await openWeights(
      await store(pytorchFixture('zip, types'), 'x.safetensors'),
    );
    assert.equal(file.format, 'pytorch');
  });

  it('is found in a directory under its usual name', async () => {
    await mkdir(directory.path('hub'));
    await rejectsWith(
      openWeights(directory.path('hub')),
      'ERR_FILE_NOT_FOUND',
      'model.safetensors',
    );
    await store(pytorchFixture('zip, types'), 'hub/pytorch_model.bin');
    await using file = await openWeights(directory.path('hub'));
    assert.equal(file.path, directory.path('hub', 'pytorch_model.bin'));
  });

  it('stops reading when it is told to', async () => {
    await using file = await openWeights(await store(pytorchFixture('zip, types')));
    const [tensor] = file.tensors.values();
    await rejectsWith(tensor!.read(AbortSignal.abort()), 'ERR_ABORTED', 'weights.pth');
  });
});

/** JSON has no NaN and no infinity: they are stored as Python writes them. */
function toNumber(value: number | string): number {
  if (typeof value === 'number') return value;
  return value === 'nan' ? NaN : value === 'inf' ? Infinity : -Infinity;
}
