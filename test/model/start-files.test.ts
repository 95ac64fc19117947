import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { writeSafetensors, writeWeights } from '../../lib/weights/index.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';
import { makeLegacy, makePyTorch, pickle } from '../weights/pickle-builder.js';
import { startWeights } from './start-weights-support.js';

describe('files of start weights', function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  const start = startWeights();
  const { encoder, copy, hasEncoder } = start;

  describe('in a directory', () => {
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];

    /** An index and its shards; `extra` names are only in the index. */
    async function writeShards(folder: string, ...extra: string[]): Promise<void> {
      await mkdir(directory.path(folder), { recursive: true });
      const names = [...encoder.keys()];
      const map = Object.fromEntries([
        ...names.map((name, i) => [name, shards[i % 2]!] as const),
        ...extra.map((name) => [name, shards[0]!] as const),
      ]);
      for (const [part, file] of shards.entries()) {
        const half = new Map([...encoder].filter((_, i) => i % 2 === part));
        await writeSafetensors(directory.path(folder, file), half);
      }
      const index = directory.path(folder, 'model.safetensors.index.json');
      await writeFile(index, JSON.stringify({ weight_map: map }));
    }

    it('with an index are its shards, and the file beside it is named', async () => {
      await writeShards('both');
      await writeSafetensors(directory.path('both', 'model.safetensors'), copy);
      const report = await start.model.initialize(directory.path('both'));
      hasEncoder(encoder, report);
      assert.equal(report.file, directory.path('both', 'model.safetensors.index.json'));
      assert.deepEqual(report.beside, [directory.path('both', 'model.safetensors')]);
      const other = await start.model.initialize(report.beside[0]!);
      hasEncoder(copy, other);
      assert.deepEqual([other.file, other.beside], [report.beside[0], []]);
    });

    it('whose index names a shard that is not there say what else there is', async () => {
      await mkdir(directory.path('half'));
      const index = directory.path('half', 'model.safetensors.index.json');
      await writeFile(index, '{"weight_map":{"a":"1.safetensors"}}');
      await writeSafetensors(directory.path('half', 'model.safetensors'), encoder);
      await rejectsWith(
        start.model.initialize(directory.path('half')),
        'ERR_FILE_NOT_FOUND',
        '1.safetensors',
        `give '${directory.path('half', 'model.safetensors')}'`,
      );
    });

    it('whose index names a tensor that no shard has load without it', async () => {
      await writeShards('more', 'classifier.weight');
      const report = await start.model.initialize(directory.path('more'));
      hasEncoder(encoder, report);
      assert.deepEqual(report.absent, ['classifier.weight']);
    });

    it('whose index names the wrong shard load all the same', async () => {
      await writeShards('wrong');
      const map = Object.fromEntries(
        [...encoder.keys()].map((name, i) => [name, shards[(i + 1) % 2]]),
      );
      const index = directory.path('wrong', 'model.safetensors.index.json');
      await writeFile(index, JSON.stringify({ weight_map: map }));
      const report = await start.model.initialize(directory.path('wrong'));
      hasEncoder(encoder, report);
      assert.deepEqual(report.absent, []);
    });

    it('whose index names a needed tensor that no shard has are refused', async () => {
      await writeShards('less', 'classifier.weight');
      const half = new Map(
        [...encoder].filter(([name], i) => i % 2 === 0 && name !== 'conv1.weight'),
      );
      await writeSafetensors(directory.path('less', shards[0]!), half);
      await rejectsWith(
        start.model.initialize(directory.path('less')),
        'ERR_SHAPE_MISMATCH',
        'missing: encoder.conv1.weight (the index names tensors that no shard has)',
      );
    });
  });

  describe('as the FER community saves them', () => {
    const recorder = [
      ...[pickle.text('recorder'), pickle.global('__main__', 'RecorderMeter'), ')\x81}'],
      ...[pickle.text('total_epoch'), 'K\x02sb'],
    ];

    /** A checkpoint: the weights under `module.`, the best accuracy as a tensor, and a recorder. */
    function checkpoint(form: typeof makePyTorch, state = encoder, wrapped = ''): Buffer {
      const storages: Record<string, Uint8Array> = { best: new Uint8Array(4) };
      const tensors: (Buffer | string)[] = [];
      for (const [name, { shape, data }] of state) {
        const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
        const tensor = pickle.tensor(name, data.length, [...shape], strides);
        const value =
          name === wrapped ? [pickle.global('mylib', 'wrap'), tensor, '\x85R'] : [tensor];
        tensors.push(pickle.text(`module.${name}`), ...value);
        storages[name] = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      }
      const best = [pickle.text('best_acc'), pickle.tensor('best', 1, [], [])];
      const data = [
        '}(',
        ...recorder,
        pickle.text('state_dict'),
        '}(',
        ...tensors,
        'u',
        ...best,
        'u',
      ];
      return form(pickle.of(...data), storages);
    }

    for (const [form, make] of Object.entries({ zip: makePyTorch, legacy: makeLegacy })) {
      it(`a recorder beside them does not matter, ${form}`, async () => {
        const file = directory.path(`ms1m-${form}.pth`);
        await writeFile(file, checkpoint(make));
        const report = await start.model.initialize(file);
        hasEncoder(encoder, report);
        assert.equal(report.prefix, 'state_dict.module.');
        assert.deepEqual(report.ignored, ['best_acc']);
        assert.deepEqual(report.notRebuilt, [
          { name: 'recorder', type: '__main__.RecorderMeter', tensors: [] },
        ]);
      });
    }

    it('a weight that depends on an object is an error that names both, if it is wanted', async () => {
      const file = directory.path('wrapped.pth');
      await writeFile(file, checkpoint(makePyTorch, encoder, 'bn1.weight'));
      const tensor = 'state_dict.module.bn1.weight';
      const found = `'${tensor}' of '${file}' asks for 'mylib.wrap'`;
      await rejectsWith(start.model.initialize(file), 'ERR_UNSAFE_PICKLE', found);
      const before = start.model.stateDict().get('encoder.bn1.weight');
      const report = await start.model.initialize(file, { strict: false });
      assert.equal(report.matched.length, 99);
      assert.deepEqual(report.notRebuilt[1], {
        name: tensor,
        type: 'mylib.wrap',
        tensors: [tensor],
      });
      assert.deepEqual(start.model.stateDict().get('encoder.bn1.weight'), before);
      const head = { shape: [2], data: Float32Array.of(1, 2) };
      const withHead = new Map([...encoder, ['fc.bias', head] as const]);
      await writeFile(file, checkpoint(makePyTorch, withHead, 'fc.bias'));
      hasEncoder(encoder, await start.model.initialize(file));
    });

    it('a part that is inside an object is told where the rest is missing', async () => {
      const file = directory.path('inside.pth');
      const inside = [pickle.text('model'), pickle.global('net', 'ResNet'), ')\x81}'];
      const tensor = pickle.tensor('0', 64, [64], [1]);
      const data = pickle.of(
        ...['}(', ...inside, pickle.text('layers'), tensor, 'sb'],
        ...[pickle.text('bn1.weight'), pickle.tensor('1', 64, [64], [1]), 'u'],
      );
      await writeFile(file, makePyTorch(data, { 0: new Uint8Array(256), 1: new Uint8Array(256) }));
      await rejectsWith(
        start.model.initialize(file),
        'ERR_SHAPE_MISMATCH',
        "Only 1 of the encoder's 100 tensors",
        '(tensors are inside net.ResNet, which is not run)',
      );
    });

    it('whole modules beside an optimizer ask for their class', async () => {
      const file = directory.path('whole.pth');
      const module = [pickle.global('net', 'ResNet'), ')\x81}', pickle.text('weight')];
      const tensor = pickle.tensor('0', 1, [1], [1]);
      const data = pickle.of(
        ...['}(', pickle.text('model'), ...module, tensor, 'sb'],
        ...[pickle.text('optimizer'), '}', pickle.text('exp_avg'), pickle.tensor('1', 1, [1], [1])],
        'su',
      );
      await writeFile(file, makePyTorch(data, { 0: new Uint8Array(4), 1: new Uint8Array(4) }));
      await rejectsWith(
        start.model.initialize(file),
        'ERR_UNSAFE_PICKLE',
        `'model.weight' of '${file}' asks for 'net.ResNet'`,
      );
    });
  });

  it('is the file of a directory of ours, which has no other', async () => {
    await start.model.save(directory.path('ours'));
    const report = await start.model.initialize(directory.path('ours'));
    assert.equal(report.file, directory.path('ours', 'model.safetensors'));
    assert.deepEqual([report.beside, report.others, report.missing], [[], [], []]);
    await writeWeights(directory.path('w.pth'), encoder);
    assert.equal(
      (await start.model.initialize(directory.path('w.pth'))).file,
      directory.path('w.pth'),
    );
    assert.equal('file' in (await start.model.initialize(encoder)), false);
  });
});
