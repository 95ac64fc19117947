import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { type Model, type TensorData } from '../../lib/index.js';
import { openWeights, writeWeights } from '../../lib/weights/index.js';
import { digest, makeModel } from '../api-support.js';
import { command } from '../cli/support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';
import { findPython, findTorches, readAll, runPython } from './support.js';

/** Names that need care, an empty tensor, a tensor without dimensions, and bits that text would lose. */
const tensors = new Map<string, TensorData>([
  ['encoder.conv1.weight', { shape: [2, 3], data: Float32Array.of(1, -0, 1e-45, 3e38, 0.1, -7) }],
  ['scalar', { shape: [], data: Float32Array.of(7) }],
  ['empty', { shape: [0, 4], data: new Float32Array(0) }],
  ['ümlaut "quoted"', { shape: [1, 1, 300], data: new Float32Array(300).fill(0.5) }],
]);

describe('writing weights', function () {
  this.timeout(120_000);
  const directory = temporaryDirectory();
  let model: Model;
  before(async () => {
    model = await makeModel();
  });
  after(() => {
    model.close();
  });

  for (const name of ['w.safetensors', 'w.pth', 'w.pt', 'w.bin', 'w.pth.tar']) {
    it(`comes back from ${name}`, async () => {
      const file = directory.path(name);
      await writeWeights(file, tensors);
      await using opened = await openWeights(file);
      assert.equal(opened.format, name === 'w.safetensors' ? 'safetensors' : 'pytorch');
      const values = await readAll(opened);
      for (const [key, { shape, data }] of tensors) {
        assert.deepEqual(opened.tensors.get(key)!.shape, shape, key);
        assert.deepEqual(Buffer.from(values.get(key)!.buffer), Buffer.from(data.buffer), key);
      }
    });
  }

  describe('for PyTorch', () => {
    const torches = findTorches();
    if (torches.length === 0) {
      it('torch.load reads it', function () {
        console.log(
          '      skipped: no Python with torch (set PYTHON, or COUNTENANCE_BENCH_PYTHON for several)',
        );
        this.skip();
      });
    }
    for (const { version, path } of torches) {
      it(`torch.load of ${version} reads it, by default and with either weights_only`, async () => {
        const file = directory.path('torch.pth');
        await writeWeights(file, tensors);
        const script = `
import json, sys, warnings, torch
warnings.simplefilter('error')
for how in {}, {'weights_only': True}, {'weights_only': False}:
    state = torch.load(sys.argv[1], **how)
    assert type(state).__name__ == 'OrderedDict'
    print(json.dumps([[k, str(v.dtype), list(v.shape), v.flatten().view(torch.int32).tolist()]
                      for k, v in state.items()]))`;
        const lines = runPython(path, script, file).trim().split('\n');
        const expected = [...tensors].map(([name, { shape, data }]) => {
          return [name, 'torch.float32', shape, [...new Int32Array(data.buffer)]];
        });
        const read = lines.map((line) => JSON.parse(line) as unknown);
        assert.deepEqual(read, [expected, expected, expected]);
      });

      it(`${version} loads a whole model, memory-mapped where it can, and goes on with it`, async () => {
        const file = directory.path('model.pth');
        await model.saveWeights(file);
        const again = directory.path('again.pth');
        const script = `
import sys, torch
how = {'mmap': True} if 'mmap' in torch.load.__code__.co_varnames else {}
state = torch.load(sys.argv[1], weights_only=True, **how)
torch.save({'epoch': 1, 'state_dict': state}, sys.argv[2])
print(len(state))`;
        const state = model.stateDict();
        assert.equal(Number(runPython(path, script, file, again)), state.size);
        await using opened = await openWeights(again);
        for (const [name, { data }] of state) {
          assert.deepEqual(await opened.tensors.get(`state_dict.${name}`)!.read(), data, name);
        }
      });
    }
  });

  it('gives torchvision its own resnet18 back', async function () {
    const python = findPython('torch', 'torchvision');
    if (!('path' in python)) {
      console.log(`      skipped: ${python.missing}`);
      return this.skip();
    }
    const file = directory.path('encoder.pth');
    await model.saveWeights(file, { names: 'encoder' });
    const script = `
import sys, torch, torchvision
network = torchvision.models.resnet18()
network.fc = torch.nn.Identity()
network.load_state_dict(torch.load(sys.argv[1], weights_only=True), strict=True)
print(network.conv1.weight.double().sum().item())`;
    const { data } = model.stateDict().get('encoder.conv1.weight')!;
    const sum = data.reduce((total, value) => total + value, 0);
    assert.ok(Math.abs(Number(runPython(python.path, script, file)) - sum) < 1e-6);
  });

  it('has the checksums and the alignment that PyTorch writes', async () => {
    const file = directory.path('zip.pth');
    await writeWeights(file, tensors);
    const bytes = await readFile(file);
    let entries = 0;
    for (let at = bytes.indexOf('PK\x03\x04'); at >= 0; at = bytes.indexOf('PK\x03\x04', at + 1)) {
      const start = at + 30 + bytes.readUInt16LE(at + 26) + bytes.readUInt16LE(at + 28);
      assert.equal(start % 64, 0);
      const content = bytes.subarray(start, start + bytes.readUInt32LE(at + 22));
      assert.equal(crc32(content), bytes.readUInt32LE(at + 14));
      entries += 1;
    }
    assert.equal(entries, 3 + tensors.size);
  });

  it('is the same file for the same weights', async () => {
    const [a, b] = [directory.path('a.pth'), directory.path('b.pth')];
    await writeWeights(a, tensors);
    await writeWeights(b, tensors);
    assert.ok((await readFile(a)).equals(await readFile(b)));
  });

  it('takes a model there and back', async () => {
    for (const name of ['model.pth', 'model.safetensors']) {
      const file = directory.path(name);
      await model.saveWeights(file);
      await using other = await makeModel({ seed: 5 });
      const report = await other.initialize(file);
      assert.deepEqual([report.missing, report.unexpected, report.ignored], [[], [], []]);
      assert.equal(digest(other.stateDict()), digest(model.stateDict()));
    }
  });

  it('gives the names asked for', async () => {
    const file = directory.path('names.safetensors');
    const rename = (name: string) => (name.startsWith('MLP.') ? `head.${name}` : undefined);
    await model.saveWeights(file, { names: rename });
    await using opened = await openWeights(file);
    assert.deepEqual([...opened.tensors.keys()].sort(), [
      ...['head.MLP.fc1.bias', 'head.MLP.fc1.weight', 'head.MLP.fc2.bias', 'head.MLP.fc2.weight'],
    ]);
    const same = model.saveWeights(file, { names: () => 'x' });
    await rejectsWith(same, 'ERR_INVALID_ARGUMENT', "'x'");
    const unknown = model.saveWeights(file, { names: 'timm' as 'model' });
    await rejectsWith(unknown, 'ERR_INVALID_ARGUMENT', 'model, encoder');
  });

  it('says what it cannot write, and leaves nothing behind', async () => {
    await rejectsWith(model.saveWeights('weights'), 'ERR_INVALID_ARGUMENT', "'weights'", '.pth');
    const nowhere = directory.path('nowhere', 'w.pth');
    await rejectsWith(model.saveWeights(nowhere), 'ERR_WRITE', nowhere);
    const wrong = new Map([['x', { shape: [2], data: new Float32Array(3) }]]);
    const target = directory.path('wrong.pth');
    await rejectsWith(writeWeights(target, wrong), 'ERR_SHAPE_MISMATCH', "'x'");
    assert.ok(!(await readdir(directory.path('.'))).some((name) => name.includes('wrong')));
  });

  it('is a command', async () => {
    await model.save(directory.path('saved'));
    const out = directory.path('command.pth');
    const given = ['export', '--model', directory.path('saved'), '--out', out];
    const { status, stdout, stderr } = await command(...given, '--names', 'encoder');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /command\.pth: pytorch/);
    await using opened = await openWeights(out);
    assert.ok(opened.tensors.has('conv1.weight') && !opened.tensors.has('MLP.fc1.weight'));

    const unnamed = [...given.slice(0, -1), directory.path('noending')];
    assert.equal((await command(...unnamed)).status, 1);
    assert.equal((await command(...unnamed, '--format', 'pytorch')).status, 0);
    assert.equal((await command(...given, '--format', 'gguf')).status, 2);
  });
});
