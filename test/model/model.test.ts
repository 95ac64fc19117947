import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';

import {
  info,
  Model,
  syntheticTextEmbeddings,
  type StateDict,
  type TensorData,
} from '../../lib/index.js';
import { rafdbClasses } from '../../lib/data/index.js';
import { writeSafetensors } from '../../lib/weights/index.js';
import { digest, makeModel, noise, side, textEmbeddings } from '../api-support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

describe('1 Model', function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  /** Made once: making one draws 11 million random numbers. */
  let model: Model;
  before(async () => {
    model = await makeModel();
  });
  after(() => {
    model.close();
  });

  describe('create', () => {
    it('fills in the defaults', async () => {
      await using model = await Model.create({ backbone: 'resnet18', textEmbeddings });
      assert.deepEqual(model.config, {
        backbone: 'resnet18',
        inputSize: 112,
        patchSize: 2,
        dropPath: 0,
        classes: rafdbClasses,
        neutral: 'neutral',
        logitScale: 30,
        imageMean: [0.485, 0.456, 0.406],
        imageStd: [0.229, 0.224, 0.225],
      });
      assert.match(model.device, /^cpu/);
      // torchvision's 11,176,512 of ResNet-18 without fc, and 512*128 + 128 + 128*512 + 512.
      assert.equal(model.parameterCount, 11_176_512 + 131_712);
    });

    it('makes the Swin-T of the paper', async () => {
      await using model = await Model.create({ backbone: 'swin-t', textEmbeddings });
      assert.equal(model.parameterCount, 28_633_210);
      assert.equal(model.config.dropPath, 0.1);
    });

    it("takes CLIP's logit scale where the text embeddings tell none", async () => {
      const { shape, data, classes } = textEmbeddings;
      await using model = await makeModel({ textEmbeddings: { shape, data }, classes });
      assert.equal(model.config.logitScale, 100);
    });

    it('orders named text embeddings as the classes', async () => {
      const classes = ['neutral', 'anger'];
      await using model = await makeModel({ classes });
      assert.deepEqual(model.textEmbeddings.classes, classes);
      assert.deepEqual(
        model.textEmbeddings.data.subarray(0, 512),
        textEmbeddings.data.slice(6 * 512),
      );
    });

    const bad: [string, object, Parameters<typeof rejectsWith>[1], ...string[]][] = [
      ['no options', null as unknown as object, 'ERR_INVALID_ARGUMENT', 'options of a model'],
      ['an unknown backbone', { backbone: 'vgg' }, 'ERR_INVALID_ARGUMENT', 'resnet18', "'vgg'"],
      ['a tiny input', { inputSize: 31 }, 'ERR_INVALID_ARGUMENT', 'inputSize', '31'],
      ['an input size with a fraction', { inputSize: 48.5 }, 'ERR_INVALID_ARGUMENT', 'inputSize'],
      ['a wrong patch', { backbone: 'swin-t', patchSize: 3 }, 'ERR_INVALID_ARGUMENT', 'patchSize'],
      [
        'a Swin-T of a wrong size',
        { backbone: 'swin-t', inputSize: 100 },
        'ERR_INVALID_ARGUMENT',
        '100',
      ],
      ['a drop path of 2', { backbone: 'swin-t', dropPath: 2 }, 'ERR_INVALID_ARGUMENT', 'dropPath'],
      ['one class', { classes: ['neutral'] }, 'ERR_INVALID_ARGUMENT', 'classes'],
      ['a class twice', { classes: ['a', 'a', 'neutral'] }, 'ERR_INVALID_ARGUMENT', 'distinct'],
      [
        'a class without text',
        { classes: ['boredom', 'neutral'] },
        'ERR_TEXT_EMBEDDINGS',
        'boredom',
      ],
      ['an unknown neutral', { neutral: 'calm' }, 'ERR_INVALID_ARGUMENT', 'neutral', 'calm'],
      ['no neutral', { classes: ['anger', 'fear'] }, 'ERR_INVALID_ARGUMENT', 'neutral'],
      ['a logit scale of 0', { logitScale: 0 }, 'ERR_INVALID_ARGUMENT', 'logitScale'],
      ['a negative seed', { seed: -1 }, 'ERR_INVALID_ARGUMENT', 'seed'],
      ['threads below 0', { threads: -2 }, 'ERR_INVALID_ARGUMENT', 'threads'],
      ['an unknown device', { device: 'tpu' }, 'ERR_INVALID_ARGUMENT', 'device', 'tpu'],
      ['a standard deviation of 0', { imageStd: [1, 0, 1] }, 'ERR_INVALID_ARGUMENT', 'imageStd'],
      [
        'no text embeddings',
        { textEmbeddings: undefined },
        'ERR_TEXT_EMBEDDINGS',
        'loadTextEmbeddings',
      ],
    ];
    for (const [what, options, code, ...parts] of bad) {
      it(`refuses ${what}`, () =>
        rejectsWith(
          Model.create(options && { backbone: 'resnet18', textEmbeddings, ...options }),
          code,
          ...parts,
        ));
    }

    it('refuses text embeddings of another width, with NaN, with a zero row', async () => {
      const narrow = syntheticTextEmbeddings(rafdbClasses, 256);
      await rejectsWith(makeModel({ textEmbeddings: narrow }), 'ERR_TEXT_EMBEDDINGS', '512', '256');
      const broken = { ...textEmbeddings, data: textEmbeddings.data.slice() };
      broken.data[513] = NaN;
      await rejectsWith(makeModel({ textEmbeddings: broken }), 'ERR_NOT_FINITE', 'fear');
      broken.data.fill(0, 512, 1024);
      await rejectsWith(makeModel({ textEmbeddings: broken }), 'ERR_ZERO_NORM', 'fear');
    });

    it('says why there is no GPU', async () => {
      const { cuda } = info();
      if (cuda.available) return;
      await rejectsWith(makeModel({ device: 'cuda' }), 'ERR_DEVICE_UNAVAILABLE', cuda.reason);
    });
  });

  describe('forward', () => {
    it('gives logits and representations, the same each time and in other layouts', async () => {
      const images = noise(3);
      const { logits, expression, neutral } = await model.forward({ images });
      assert.deepEqual(
        [logits.shape, expression.shape, neutral.shape],
        [
          [3, 7],
          [3, 512],
          [3, 512],
        ],
      );
      assert.deepEqual((await model.forward({ images })).logits, logits);

      const { imageMean, imageStd } = model.config;
      const normal = Float32Array.from(
        images,
        (x, i) => (x / 255 - imageMean[i % 3]!) / imageStd[i % 3]!,
      );
      const plane = side * side;
      const planar = new Float32Array(normal.length);
      normal.forEach((x, i) => {
        const image = Math.floor(i / (plane * 3));
        planar[(image * 3 + (i % 3)) * plane + Math.floor((i % (plane * 3)) / 3)] = x;
      });
      const float = (await model.forward({ images: normal })).logits.data;
      assert.deepEqual(
        (await model.forward({ images: { data: planar, layout: 'NCHW' } })).logits.data,
        float,
      );
      // The normalisation rounds differently in float32 here and there: logits up to 30, 18 layers.
      float.forEach((x, i) =>
        assert.ok(Math.abs(x - logits.data[i]!) < 1e-3, `${x} ${logits.data[i]}`),
      );
    });

    it('copies its images before it returns', async () => {
      const images = noise(2);
      const [expected, changed] = [await model.forward({ images }), images.slice()];
      const first = model.forward({ images });
      const later = model.forward({ images: changed });
      images.fill(0);
      changed.fill(0);
      assert.deepEqual((await first).logits, expected.logits);
      assert.deepEqual((await later).logits, expected.logits);
    });

    it('computes cosines times the logit scale', async () => {
      const { logits, expression } = await model.forward({ images: noise(1) });
      const e = expression.data;
      const norm = Math.hypot(...e);
      const text = model.textEmbeddings.data; // unit rows
      for (let k = 0; k < 7; k++) {
        const dot = e.reduce((sum, x, i) => sum + x * text[k * 512 + i]!, 0);
        assert.ok(Math.abs((30 * dot) / norm - logits.data[k]!) < 1e-4);
      }
    });

    const call = (images: unknown): Promise<unknown> =>
      model.forward({ images: images as Uint8Array });
    it('refuses what is no batch', async () => {
      await rejectsWith(call([1, 2]), 'ERR_INVALID_ARGUMENT', 'images');
      await rejectsWith(call(undefined), 'ERR_INVALID_ARGUMENT', 'images');
      await rejectsWith(
        call({ data: new Float32Array(3072), layout: 'CHWN' }),
        'ERR_INVALID_ARGUMENT',
        'CHWN',
      );
      await rejectsWith(call(new Uint8Array(100)), 'ERR_SHAPE_MISMATCH', '32 x 32 x 3', '100');
      await rejectsWith(call(new Uint8Array(0)), 'ERR_SHAPE_MISMATCH');
      const broken = new Float32Array(2 * side * side * 3);
      broken[side * side * 3 + 5] = NaN;
      await rejectsWith(call(broken), 'ERR_NOT_FINITE', 'mage 1');
    });

    it('refuses an absurd batch and says the limit', () =>
      rejectsWith(call(new Uint8Array(70_000 * side * side * 3)), 'ERR_BATCH_TOO_LARGE', '70000'));
  });

  describe('state dict', () => {
    it("has PyTorch's names and shapes, and is a copy", async () => {
      const state = model.stateDict();
      assert.deepEqual(state.get('encoder.conv1.weight')?.shape, [64, 3, 7, 7]);
      assert.deepEqual(state.get('encoder.layer4.1.bn2.running_var')?.shape, [512]);
      assert.deepEqual(state.get('MLP.fc1.weight')?.shape, [128, 512]);
      const before = digest(state);
      state.get('MLP.fc1.bias')!.data.fill(7);
      assert.equal(digest(model.stateDict()), before);
    });

    it('goes from model to model, with the same outputs', async () => {
      await using other = await makeModel({ seed: 2 });
      assert.notEqual(digest(other.stateDict()), digest(model.stateDict()));
      other.loadStateDict(model.stateDict());
      assert.equal(digest(other.stateDict()), digest(model.stateDict()));
      const images = noise(2);
      assert.deepEqual(await other.forward({ images }), await model.forward({ images }));
    });

    it('passes over num_batches_tracked', async () => {
      const state: StateDict = model.stateDict();
      state.set('encoder.bn1.num_batches_tracked', { shape: [], data: Float32Array.of(3) });
      assert.deepEqual(model.loadStateDict(state), { missing: [], unexpected: [], mismatched: [] });
    });

    it('lists everything that does not fit, and changes nothing', async () => {
      const before = digest(model.stateDict());
      const state = model.stateDict();
      for (const { data } of state.values()) data.fill(0.5);
      state.delete('MLP.fc2.bias');
      state.delete('encoder.bn1.weight');
      state.set('head.weight', { shape: [1], data: Float32Array.of(1) });
      state.set('MLP.fc1.weight', { shape: [2, 3], data: new Float32Array(6) });
      await rejectsWith(
        () => model.loadStateDict(state),
        'ERR_SHAPE_MISMATCH',
        'missing: encoder.bn1.weight, MLP.fc2.bias',
        'unexpected: head.weight',
        'MLP.fc1.weight ([128, 512] but [2, 3])',
      );
      assert.equal(digest(model.stateDict()), before);
      const { missing } = model.loadStateDict(state, { strict: false });
      assert.deepEqual(missing, ['encoder.bn1.weight', 'MLP.fc2.bias']);
      assert.equal(model.stateDict().get('encoder.conv1.weight')!.data[0], 0.5);
      assert.equal(model.stateDict().get('encoder.bn1.weight')!.data[0], 1);
    });

    it('refuses NaN, wrong sizes and other types, and changes nothing', async () => {
      const before = digest(model.stateDict());
      const change = (tensor: unknown) => () =>
        model.loadStateDict(model.stateDict().set('MLP.fc2.bias', tensor as TensorData));
      await rejectsWith(
        change({ shape: [512], data: new Float32Array(512).fill(NaN) }),
        'ERR_NOT_FINITE',
        'MLP.fc2.bias',
      );
      await rejectsWith(
        change({ shape: [512], data: new Float32Array(5) }),
        'ERR_SHAPE_MISMATCH',
        '5 values',
      );
      await rejectsWith(change({ shape: [1], data: [1] }), 'ERR_INVALID_ARGUMENT', 'MLP.fc2.bias');
      await rejectsWith(change(null), 'ERR_INVALID_ARGUMENT', 'MLP.fc2.bias');
      await rejectsWith(() => model.loadStateDict({} as StateDict), 'ERR_INVALID_ARGUMENT', 'Map');
      assert.equal(digest(model.stateDict()), before);
    });
  });

  describe('initialize', () => {
    it("takes a backbone's own names from a file", async () => {
      await using source = await makeModel({ seed: 3 });
      const renamed = new Map<string, TensorData>();
      for (const [name, tensor] of source.stateDict()) {
        if (name.startsWith('encoder.')) renamed.set(name.slice(8), tensor);
      }
      renamed.set('fc.weight', { shape: [2, 2], data: new Float32Array(4) });
      const file = directory.path('backbone.safetensors');
      await writeSafetensors(file, renamed);
      const report = await model.initialize(file);
      assert.deepEqual(report.unexpected, []);
      assert.deepEqual(report.ignored, ['fc.weight']);
      assert.deepEqual(report.missing, [
        'MLP.fc1.weight',
        'MLP.fc1.bias',
        'MLP.fc2.weight',
        'MLP.fc2.bias',
      ]);
      assert.equal(report.matched.length, renamed.size - 1);
      assert.deepEqual(
        model.stateDict().get('encoder.conv1.weight'),
        source.stateDict().get('encoder.conv1.weight'),
      );
    });

    it('takes off a prefix, renames, and reports other shapes', async () => {
      const one = new Float32Array(64).fill(2);
      const weights = new Map<string, TensorData>([
        ['net.first.weight', { shape: [64], data: one }],
        ['net.conv1.weight', { shape: [64, 1, 7, 7], data: new Float32Array(64 * 49) }],
        ['other.bn1.bias', { shape: [64], data: one }],
      ]);
      const report = await model.initialize(weights, {
        prefix: 'net.',
        rename: (name) => name.replace('first', 'bn1'),
        strict: false,
      });
      assert.deepEqual(report.matched, ['encoder.bn1.weight']);
      assert.deepEqual(report.ignored, ['other.bn1.bias']);
      assert.deepEqual(
        report.mismatched.map(({ name }) => name),
        ['encoder.conv1.weight'],
      );
      assert.deepEqual(model.stateDict().get('encoder.bn1.weight')!.data, one);
    });

    it('refuses weights of which nothing fits, missing files and pickles', async () => {
      const other = new Map([['x', { shape: [1], data: Float32Array.of(1) }]]);
      await rejectsWith(model.initialize(other), 'ERR_SHAPE_MISMATCH', 'prefix');
      await rejectsWith(model.initialize('nowhere.safetensors'), 'ERR_FILE_NOT_FOUND', 'nowhere');
      const pickle = directory.path('weights.pth');
      await writeFile(pickle, 'cos\nsystem\n.');
      await rejectsWith(model.initialize(pickle), 'ERR_UNSAFE_PICKLE', 'weights.pth', 'os.system');
    });
  });

  describe('close', () => {
    it('may be called twice; afterwards everything says so', async () => {
      const model = await makeModel();
      model.close();
      model.close();
      await rejectsWith(model.forward({ images: noise(1) }), 'ERR_CLOSED', 'model');
      await rejectsWith(() => model.stateDict(), 'ERR_CLOSED');
      await rejectsWith(() => model.loadStateDict(new Map()), 'ERR_CLOSED');
      await rejectsWith(model.initialize(new Map()), 'ERR_CLOSED');
      await rejectsWith(model.save(directory.path('closed')), 'ERR_CLOSED');
    });

    it('ends work under way with ERR_ABORTED', async () => {
      const model = await makeModel({ inputSize: 112 });
      const work = model.forward({ images: new Uint8Array(64 * 112 * 112 * 3) });
      const outcome = rejectsWith(work, 'ERR_ABORTED');
      await model[Symbol.asyncDispose]();
      await outcome;
    });
  });
});
