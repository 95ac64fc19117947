import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Model, type StateDict, type TensorData } from '../../lib/index.js';
import { encoderNamed } from '../../lib/core-options.js';
import { backbones } from '../../lib/model/config.js';
import { elementCount } from '../../lib/types.js';
import { matchNames, type Match, type NamedShape } from '../../lib/weights/names/match.js';
import { digest, makeModel } from '../api-support.js';
import { rejectsWith } from '../data/data-support.js';

type Shapes = Map<string, readonly number[]>;

/** Names and shapes that make_weight_names.py took from the libraries themselves. */
const libraries = JSON.parse(
  readFileSync(join(__dirname, '..', 'fixtures', 'weight_names.json'), 'utf8'),
) as Record<string, { from: string; tensors: string[] }>;

function shapesOf(library: string): Shapes {
  return new Map(
    libraries[library]!.tensors.map((line) => {
      const [name = '', shape = ''] = line.split(' ');
      return [name, shape === '' ? [] : shape.split('x').map(Number)];
    }),
  );
}

/** The same under other names; undefined leaves one out. */
function renamed(shapes: Shapes, rename: (name: string) => string | undefined): Shapes {
  const entries = [...shapes].flatMap(([name, shape]) => {
    const other = rename(name);
    return other === undefined ? [] : [[other, shape] as const];
  });
  return new Map(entries);
}

/** Tensors of these shapes; every value identifies its tensor and its position. */
function filled(shapes: Shapes): StateDict {
  let number = 0;
  const tensors = [...shapes].map(([name, shape]): [string, TensorData] => {
    number += 1;
    const data = new Float32Array(elementCount(shape));
    for (let i = 0; i < data.length; i++) data[i] = number + i / 2 ** 23;
    return [name, { shape, data }];
  });
  return new Map(tensors);
}

const transformation = ['MLP.fc1.weight', 'MLP.fc1.bias', 'MLP.fc2.weight', 'MLP.fc2.bias'];

describe('names of weights', function () {
  this.timeout(120_000);
  const models: Record<string, Model> = {};
  const known: Record<string, NamedShape[]> = {};
  before(async () => {
    for (const backbone of backbones) {
      models[backbone] = await makeModel({
        ...{ backbone, inputSize: encoderNamed(backbone).leastInput },
      });
    }
    for (const [name, model] of Object.entries(models)) {
      known[name] = [...model.stateDict()].map(([name, { shape }]) => ({ name, shape }));
    }
  });
  after(() => {
    for (const model of Object.values(models)) model.close();
  });

  async function match(shapes: Shapes, backbone: string): Promise<Match> {
    const { best } = await matchNames(shapes, known[backbone]!);
    assert.ok(best, 'nothing fits');
    return best;
  }

  /** Everything in the encoder except `lacks` is found, and every name in the file has its place. */
  function isWhole(found: Match, backbone: string, lacks = /^$/): void {
    const wanted = known[backbone]!.map(({ name }) => name).filter((name) =>
      name.startsWith('encoder.'),
    );
    assert.deepEqual(
      found.assignments.map(({ name }) => name),
      wanted.filter((name) => !lacks.test(name)),
    );
    assert.deepEqual(found.unexpected, []);
    assert.deepEqual(found.mismatched, []);
  }

  /** The head that other Swin-Ts do not have. */
  const feature = /^encoder\.feature\./;

  describe('of ResNet-18', () => {
    for (const library of ['torchvision resnet18', 'timm resnet18']) {
      it(`of ${library}, the classifier dropped`, async () => {
        const found = await match(shapesOf(library), 'resnet18');
        isWhole(found, 'resnet18');
        assert.match(found.source, /torchvision/);
        assert.equal(found.prefix, '');
        assert.deepEqual(found.missing, transformation);
        const dropped = found.ignored.filter((name) => !name.endsWith('num_batches_tracked'));
        assert.deepEqual(dropped, ['fc.weight', 'fc.bias']);
      });
    }

    it('under the prefixes that training scripts leave', async () => {
      for (const prefix of [
        ...['module.', 'backbone.', 'encoder.', 'model.', 'state_dict.', 'state_dict.module.'],
        ...['model_state_dict.', 'net.0.', 'state_dict.model.backbone.'],
      ]) {
        const shapes = renamed(shapesOf('torchvision resnet18'), (name) => prefix + name);
        shapes.set('optimizer.state.0.momentum_buffer', [64, 3, 7, 7]);
        const found = await match(shapes, 'resnet18');
        assert.deepEqual(found.missing, transformation, prefix);
        if (prefix === 'encoder.') continue; // also the names of our own files
        isWhole(found, 'resnet18');
        assert.equal(found.prefix, prefix);
        assert.ok(found.ignored.includes('optimizer.state.0.momentum_buffer'));
      }
    });

    it('of MS-Celeb-1M as SCN and RAN ship it, with a face feature layer', async () => {
      const shapes = renamed(
        shapesOf('torchvision resnet18'),
        (name) => `state_dict.module.${name}`,
      );
      shapes.set('state_dict.module.feature.weight', [256, 512]);
      const found = await match(shapes, 'resnet18');
      isWhole(found, 'resnet18');
      assert.ok(found.ignored.includes('state_dict.module.feature.weight'));
    });

    it('as a Sequential of its layers', async () => {
      const places: Record<string, number> = {
        conv1: 0,
        bn1: 1,
        layer1: 4,
        layer2: 5,
        layer3: 6,
        layer4: 7,
      };
      const shapes = renamed(shapesOf('torchvision resnet18'), (name) => {
        const [first = '', ...rest] = name.split('.');
        return first in places ? ['features', places[first], ...rest].join('.') : undefined;
      });
      const found = await match(shapes, 'resnet18');
      isWhole(found, 'resnet18');
      assert.equal(found.prefix, 'features.');
    });

    it('of Hugging Face', async () => {
      const found = await match(shapesOf('transformers resnet-18'), 'resnet18');
      isWhole(found, 'resnet18');
      assert.equal(found.prefix, 'resnet.');
      assert.ok(found.ignored.includes('classifier.1.weight'));
    });

    it('of the authors: encoder and transformation', async () => {
      const own = new Map(known['resnet18']!.map(({ name, shape }) => [name, shape]));
      for (const prefix of ['', 'module.', 'state_dict.module.']) {
        const found = await match(
          renamed(own, (name) => prefix + name),
          'resnet18',
        );
        assert.equal(found.assignments.length, own.size);
        assert.equal(found.prefix, prefix);
        assert.deepEqual([found.missing, found.unexpected, found.ignored], [[], [], []]);
      }
    });

    it('takes the first of two that fit alike', async () => {
      const twice = (...prefixes: string[]): Shapes =>
        new Map(
          prefixes.flatMap((prefix) => [
            ...renamed(shapesOf('torchvision resnet18'), (name) => prefix + name),
          ]),
        );
      const found = await match(twice('state_dict.', 'state_dict_ema.'), 'resnet18');
      assert.equal(found.prefix, 'state_dict.');
      assert.ok(found.ignored.includes('state_dict_ema.conv1.weight'));
    });

    it('takes a classifier where the model has one of its shape', async () => {
      const head = (classes: number): [string, number[]][] => [
        ['fc.weight', [classes, 512]],
        ['fc.bias', [classes]],
      ];
      const wanted = head(512).map(([name, shape]) => ({ name: `encoder.${name}`, shape }));
      const model = [...known['resnet18']!, ...wanted];
      const find = async (classes: number): Promise<Match> => {
        const shapes = new Map([...shapesOf('torchvision resnet18'), ...head(classes)]);
        const { best } = await matchNames(shapes, model);
        return best!;
      };
      const same = await find(512);
      const names = ['encoder.fc.weight', 'encoder.fc.bias'];
      assert.deepEqual(same.missing, transformation);
      assert.deepEqual(
        same.assignments.slice(-2).map(({ name }) => name),
        names,
      );
      const other = await find(1000);
      assert.deepEqual(other.missing, [...transformation, ...names]);
      assert.deepEqual([other.mismatched, other.unexpected], [[], []]);
      assert.ok(['fc.weight', 'fc.bias'].every((name) => other.ignored.includes(name)));
    });

    it('tells a deeper network by its left-over blocks', async () => {
      const shapes = shapesOf('torchvision resnet18');
      shapes.set('layer1.2.conv1.weight', [64, 64, 3, 3]);
      const found = await match(shapes, 'resnet18');
      assert.deepEqual(found.unexpected, ['layer1.2.conv1.weight']);
    });
  });

  describe('of Swin-T', () => {
    const microsoft = (): Shapes => {
      const shapes = new Map(known['swin-t']!.map(({ name, shape }) => [name, shape]));
      const bare = renamed(shapes, (name) => /^encoder\.(?!feature)(.*)/.exec(name)?.[1]);
      bare.set('patch_embed.proj.weight', [96, 3, 4, 4]);
      for (const [stage, depth] of [2, 2, 6, 2].entries()) {
        for (let block = 0; block < depth; block++) {
          const name = `layers.${stage}.blocks.${block}`;
          bare.set(`${name}.attn.relative_position_index`, [49, 49]);
          if (block % 2 === 1) bare.set(`${name}.attn_mask`, [64, 49, 49]);
        }
      }
      return bare.set('head.weight', [1000, 768]).set('head.bias', [1000]);
    };

    it('of Microsoft: patches of 4 become patches of 2', async () => {
      const found = await match(
        renamed(microsoft(), (name) => `model.${name}`),
        'swin-t',
      );
      isWhole(found, 'swin-t', feature);
      assert.equal(found.prefix, 'model.');
      const reshaped = found.assignments.filter(({ reshape }) => reshape);
      assert.deepEqual(
        reshaped.map(({ name, reshape }) => [name, reshape!.how]),
        [['encoder.patch_embed.proj.weight', 'block sums']],
      );
      for (const name of ['head.weight', 'layers.0.blocks.1.attn_mask']) {
        assert.ok(found.ignored.includes(`model.${name}`), name);
      }
    });

    it('of SwinFace: the backbone with its head, the other heads dropped', async () => {
      const shapes = new Map(known['swin-t']!.map(({ name, shape }) => [name, shape]));
      const start = renamed(shapes, (name) => {
        const bare = /^encoder\.(.*)/.exec(name)?.[1];
        return bare && `state_dict_backbone.${bare}`;
      });
      start.set('state_dict_fam.convs.0.weight', [512, 1440, 3, 3]);
      start.set('state_dict_om.0.weight', [7, 512]);
      start.set('state_optimizer.state.0.exp_avg', [96, 3, 2, 2]);
      const found = await match(start, 'swin-t');
      isWhole(found, 'swin-t');
      assert.deepEqual(found.missing, transformation);
      assert.deepEqual(found.ignored, [
        ...['state_dict_fam.convs.0.weight', 'state_dict_om.0.weight'],
        'state_optimizer.state.0.exp_avg',
      ]);
    });

    it('of timm, which counts the downsampling to the next stage', async () => {
      const found = await match(shapesOf('timm swin_tiny'), 'swin-t');
      isWhole(found, 'swin-t', feature);
      assert.equal(found.source, 'Swin of timm');
      const from = (name: string) => found.assignments.find((item) => item.name === name)?.from;
      assert.deepEqual(from('encoder.layers.0.downsample.reduction.weight'), [
        'layers.1.downsample.reduction.weight',
      ]);
    });

    it('of timm with windows of 12: the tables are resized', async () => {
      const found = await match(shapesOf('timm swin_tiny, window 12'), 'swin-t');
      isWhole(found, 'swin-t', feature);
      const tables = found.assignments.filter(({ reshape }) => reshape?.how === 'bicubic');
      assert.equal(tables.length, 12);
    });

    it('of torchvision', async () => {
      const found = await match(shapesOf('torchvision swin_t'), 'swin-t');
      isWhole(found, 'swin-t', feature);
      assert.match(found.source, /torchvision/);
    });

    for (const library of [
      'transformers swin-tiny in memory',
      'transformers swin-tiny in a file',
      'transformers swin-tiny, no classifier',
    ]) {
      it(`of ${library}: query, key and value joined`, async () => {
        const found = await match(shapesOf(library), 'swin-t');
        isWhole(found, 'swin-t', feature);
        const qkv = found.assignments.find(({ name }) => name.endsWith('1.blocks.0.attn.qkv.bias'));
        assert.equal(qkv!.from.length, 3);
        assert.deepEqual(qkv!.shape, [576]);
      });
    }

    it('joins the values in the order query, key, value', async () => {
      const tensors = filled(shapesOf('transformers swin-tiny in a file'));
      const report = await models['swin-t']!.initialize(tensors);
      assert.equal(report.source, 'Swin of Hugging Face');
      const state = models['swin-t']!.stateDict();
      for (const kind of ['weight', 'bias']) {
        const there = 'swin.encoder.layers.2.blocks.5.attention.self';
        const parts = ['query', 'key', 'value'].map((part) =>
          tensors.get(`${there}.${part}.${kind}`)!,
        );
        const joined = Buffer.concat(parts.map(({ data }) => Buffer.from(data.buffer)));
        const here = state.get(`encoder.layers.2.blocks.5.attn.qkv.${kind}`)!;
        assert.ok(joined.equals(Buffer.from(here.data.buffer)), kind);
      }
      const norm = tensors.get('swin.layernorm.weight')!.data;
      assert.deepEqual(state.get('encoder.norm.weight')!.data, norm);
    });
  });

  describe('of deeper networks', () => {
    const cases = [
      ['resnet34', 'torchvision resnet34'],
      ['resnet50', 'torchvision resnet50'],
      ['resnet50', 'timm resnet50'],
      ['resnet50', 'transformers resnet-50'],
      ['swin-s', 'torchvision swin_s'],
      ['swin-s', 'timm swin_small'],
    ] as const;
    for (const [backbone, library] of cases) {
      it(`${library} fills ${backbone} but for its head`, async () => {
        const found = await match(shapesOf(library), backbone);
        const { head } = encoderNamed(backbone);
        isWhole(found, backbone, head === null ? undefined : new RegExp(`^encoder\\.${head}`));
      });
    }
  });

  it('does not take an incomplete query, key and value', async () => {
    const shapes = shapesOf('transformers swin-tiny in a file');
    const key = 'swin.encoder.layers.0.blocks.0.attention.self.key.weight';
    shapes.delete(key);
    const found = await match(shapes, 'swin-t');
    assert.ok(found.missing.includes('encoder.layers.0.blocks.0.attn.qkv.weight'));
    assert.deepEqual(
      found.unexpected,
      [key.replace('key', 'query'), key.replace('key', 'value')].toSorted(),
    );
  });

  it('refuses other shapes by name, or leaves them out without strict', async () => {
    const shapes = shapesOf('torchvision resnet18');
    shapes.set('conv1.weight', [64, 3, 3, 3]); // the stem of networks for tiny images
    shapes.set('layer1.0.conv1.weight', [64, 64, 1, 1]);
    const model = models['resnet18']!;
    const before = model.stateDict();
    const bits = digest(before);
    const tensors = filled(shapes);
    await rejectsWith(
      model.initialize(tensors),
      'ERR_SHAPE_MISMATCH',
      'encoder.conv1.weight ([64, 3, 7, 7] but [64, 3, 3, 3])',
      'encoder.layer1.0.conv1.weight',
    );
    assert.equal(digest(model.stateDict()), bits, 'nothing was changed');
    const report = await model.initialize(tensors, { strict: false });
    assert.deepEqual(
      report.mismatched.map(({ name }) => name),
      ['encoder.conv1.weight', 'encoder.layer1.0.conv1.weight'],
    );
    const after = model.stateDict();
    assert.deepEqual(after.get('encoder.conv1.weight'), before.get('encoder.conv1.weight'));
    assert.deepEqual(after.get('encoder.bn1.bias')!.data, tensors.get('bn1.bias')!.data);
  });

  it('says what a file looks like that is of another network', async () => {
    const swin = filled(
      renamed(shapesOf('timm swin_tiny'), (name) => (/layers\.[01]/.test(name) ? name : undefined)),
    ).set('layers.3.downsample.norm.weight', { shape: [1], data: new Float32Array(1) });
    await rejectsWith(
      models['resnet18']!.initialize(swin),
      'ERR_SHAPE_MISMATCH',
      'looks like Swin of timm',
      'another network',
    );
  });

  it('survives files of very many names', async () => {
    const names = Array.from({ length: 60_000 }, (_, i): [string, number[]] => [
      `a${i}.layer1.0.conv1.weight`,
      [i],
    ]);
    const started = performance.now();
    const { best } = await matchNames(new Map(names), known['resnet18']!);
    assert.equal(best, undefined);
    assert.ok(performance.now() - started < 30_000);
  });
});
