import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  presets,
  Trainer,
  type FitOptions,
  type Model,
  type StateDict,
  type TrainerOptions,
} from '../../lib/index.js';
import { type ParameterGroupName, type ParameterGroups } from '../../lib/train/index.js';
import { readCheckpointState } from '../../lib/train/checkpoint.js';
import { describeGroups, groupOf, toNativeGroups } from '../../lib/train/groups.js';
import { resolveTrainerOptions } from '../../lib/train/options.js';
import { digest, digestFile, faces, finish, makeModel, noise } from '../api-support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

const labels = [0, 3, 6, 2];
const traits = { backbone: 'swin-t', logitScale: 100 } as const;

/** Tensors as the addon lists them. */
const tensor = (name: string, shape: number[], trainable = true) => ({ name, shape, trainable });

describe('groups of parameters', function () {
  this.timeout(180_000);
  const directory = temporaryDirectory();

  /** The weights before and after a step, and its gradients. */
  async function step(options: TrainerOptions): Promise<[StateDict, StateDict, StateDict]> {
    await using model = await makeModel();
    await using trainer = new Trainer(model, options);
    const before = model.stateDict();
    await trainer.step({ images: noise(4), labels });
    return [before, model.stateDict(), trainer.gradients()];
  }

  /** The bits of a model after some steps. */
  async function bits(options: TrainerOptions): Promise<string> {
    await using model = await makeModel();
    await using trainer = new Trainer(model, options);
    for (let i = 0; i < 3; i++) await trainer.step({ images: noise(4, i), labels });
    return digest(model.stateDict());
  }

  it('are the encoder, its head and the transformation', async () => {
    const groupsOf = (model: Model): Set<ParameterGroupName> =>
      new Set([...model.stateDict().keys()].map(groupOf));
    await using resnet = await makeModel();
    assert.deepEqual(groupsOf(resnet), new Set(['backbone', 'transformation']));
    await using swin = await makeModel({ backbone: 'swin-t', inputSize: 112 });
    assert.deepEqual(groupsOf(swin), new Set(['backbone', 'head', 'transformation']));
    const heads = [...swin.stateDict().keys()].filter((name) => groupOf(name) === 'head');
    assert.ok(heads.length > 0 && heads.every((name) => name.startsWith('encoder.feature.')));
  });

  it('learn with rates and weight decays of their own', async () => {
    const rates = { backbone: 0.125, transformation: 4 };
    const decays = { backbone: 0.5, transformation: 0.25 };
    const [before, after, gradients] = await step({
      ...{ optimizer: 'sgd', learningRate: 0.25, momentum: 0, weightDecay: 0.25 },
      groups: {
        backbone: { learningRateScale: rates.backbone, weightDecay: decays.backbone },
        transformation: { learningRateScale: rates.transformation },
      },
    });
    let largest = 0;
    for (const [name, { data: g }] of gradients) {
      const group = groupOf(name) as keyof typeof rates;
      const [w, now] = [before.get(name)!.data, after.get(name)!.data];
      const rate = 0.25 * rates[group];
      w.forEach((x, i) => {
        const change = rate * (g[i]! + decays[group] * x);
        largest = Math.max(largest, Math.abs(change));
        // A few float32 roundings in the summed values.
        const size = Math.abs(x) + Math.abs(change) + rate * Math.abs(g[i]!);
        assert.ok(Math.abs(now[i]! - (x - change)) <= 3e-7 * size + 1e-12, `${name}, ${i}`);
      });
    }
    assert.ok(largest > 1e-3);
  });

  it('stay as they are to the bit with a scale of 0, but for running statistics', async () => {
    for (const optimizer of ['sgd', 'adamw'] as const) {
      const [before, after] = await step({
        ...{ optimizer, weightDecay: 0.1 },
        groups: { backbone: { learningRateScale: 0 } },
      });
      for (const [name, { data }] of after) {
        const isSame = Buffer.from(data.buffer).equals(Buffer.from(before.get(name)!.data.buffer));
        const mayMove = name.includes('running_') || groupOf(name) === 'transformation';
        assert.equal(isSame, !mayMove, `${name} with ${optimizer}`);
      }
    }
  });

  it('give the bits of none where they are alike', async () => {
    const options = { learningRate: 0.02, weightDecay: 0.25 };
    const plain = await bits(options);
    const alike = { transformation: { learningRateScale: 1, weightDecay: 0.25 } };
    assert.equal(await bits({ ...options, groups: alike }), plain);
    assert.equal(await bits({ ...options, groups: { backbone: {} } }), plain);
    const half = {
      backbone: { learningRateScale: 0.5 },
      transformation: { learningRateScale: 0.5 },
    };
    assert.equal(
      await bits({ ...options, groups: half }),
      await bits({ ...options, learningRate: 0.01 }),
      'all halves are half',
    );
    assert.notEqual(await bits({ ...options, groups: half }), plain);
  });

  it('give the same bits with one thread and two, and in guard mode', async () => {
    for (const optimizer of ['sgd', 'adamw'] as const) {
      const options: TrainerOptions = {
        ...{ optimizer, weightDecayOn: 'matrices', weightDecay: 0.1 },
        groups: { backbone: { learningRateScale: 0.3 }, transformation: { weightDecay: 0 } },
      };
      const two = await bits({ ...options, threads: 2 });
      assert.equal(await bits({ ...options, threads: 1 }), two);
      assert.equal(await bits({ ...options, threads: 2, guard: true }), two);
      assert.notEqual(await bits({ optimizer, weightDecay: 0.1 }), two);
    }
  });

  it('are whole in a step that diverges: nothing moves', async () => {
    await using model = await makeModel();
    await using trainer = new Trainer(model, {
      ...{ momentum: 0, weightDecay: 0 },
      groups: { backbone: { learningRateScale: 0.5 } },
    });
    await trainer.step({ images: noise(4), labels, learningRate: 1e38 });
    const before = digest(model.stateDict());
    await rejectsWith(trainer.step({ images: noise(4), labels }), 'ERR_NOT_FINITE', 'Step 2');
    assert.equal(digest(model.stateDict()), before);
  });

  it('leave biases, norms and tables out of the weight decay where that is asked for', async () => {
    const base = { optimizer: 'sgd', learningRate: 0.1, momentum: 0, weightDecay: 0.5 } as const;
    const [, all] = await step(base);
    const [, none] = await step({ ...base, weightDecay: 0 });
    const [, matrices] = await step({ ...base, weightDecayOn: 'matrices' });
    for (const [name, { shape, data }] of matrices) {
      assert.deepEqual(data, (shape.length > 1 ? all : none).get(name)!.data, name);
    }
    const names = [
      tensor('encoder.patch_embed.proj.weight', [96, 3, 2, 2]),
      tensor('encoder.patch_embed.proj.bias', [96]),
      tensor('encoder.layers.0.blocks.0.attn.relative_position_bias_table', [169, 3]),
      tensor('encoder.feature.1.running_mean', [768], false),
    ];
    const settings = { groups: {}, weightDecay: 0.25, weightDecayOn: 'matrices' } as const;
    const native = toNativeGroups(settings, names)!;
    assert.deepEqual([...native.weightDecays], [0.25, 0]);
    assert.deepEqual([...native.learningRateScales], [1, 1]);
    assert.deepEqual([...native.of], [0, 1, 1, 0]);
    assert.equal(toNativeGroups({ ...settings, weightDecayOn: 'all' }, names), null);
  });

  it('are told in words', () => {
    const { groups, weightDecay } = resolveTrainerOptions(
      {
        groups: {
          backbone: { learningRateScale: 0 },
          head: { learningRateScale: 1 },
          transformation: { learningRateScale: 10, weightDecay: 0 },
        },
      },
      traits,
    );
    assert.deepEqual(describeGroups({ groups, weightDecay, weightDecayOn: 'matrices' }), [
      'backbone: frozen',
      'transformation: learning rate x 10, weight decay 0',
      'no weight decay of biases, norms and tables of relative positions',
    ]);
    assert.deepEqual(describeGroups({ groups: {}, weightDecay, weightDecayOn: 'all' }), []);
  });

  it('are in the presets of fine-tuning, and not in those of the paper and from scratch', () => {
    for (const [name, preset] of Object.entries(presets)) {
      const trainer: TrainerOptions = preset.trainer;
      const { groups } = resolveTrainerOptions(trainer, { ...traits, ...preset.model });
      assert.equal(
        groups.transformation?.learningRateScale,
        name.endsWith('finetune') ? 10 : undefined,
      );
      assert.equal(trainer.weightDecayOn, undefined);
    }
  });

  describe('in a checkpoint', () => {
    const groups: ParameterGroups = {
      backbone: { learningRateScale: 0.25 },
      transformation: { learningRateScale: 4, weightDecay: 0 },
    };
    const options: TrainerOptions = { optimizer: 'adamw', groups, weightDecayOn: 'matrices' };

    async function run(fit: FitOptions, trainerOptions: TrainerOptions, steps = Infinity) {
      await using model = await makeModel();
      await using trainer = new Trainer(model, trainerOptions);
      const all = { batchSize: 7, epochs: 2, ...fit };
      for await (const event of trainer.fit(faces(28), all)) {
        if (event.type === 'checkpoint' && event.step >= steps) break;
      }
    }

    it('resume with the same bits, and are told in the card', async () => {
      const [whole, cut] = [directory.path('whole'), directory.path('cut')];
      await run({ checkpoint: whole }, options);
      await run({ checkpoint: { directory: cut, everySteps: 3 } }, options, 3);
      await run({ checkpoint: cut, resume: cut }, { ...options, threads: 1 });
      for (const file of ['model.safetensors', 'trainer_state.safetensors', 'trainer_state.json']) {
        assert.equal(digestFile(cut, 'last', file), digestFile(whole, 'last', file), file);
      }
      const card = await readFile(join(whole, 'README.md'), 'utf8');
      assert.ok(card.includes('backbone: learning rate x 0.25'), card);
      assert.ok(card.includes('transformation: learning rate x 4, weight decay 0'), card);
      assert.ok(card.includes('no weight decay of biases'), card);
    });

    it('are refused where they change, by name', async () => {
      const path = directory.path('refuses');
      await run({ checkpoint: path, epochs: 1 }, options);
      const resume = (other: TrainerOptions) =>
        run({ resume: path, epochs: 1 }, { ...options, ...other });
      const refuses = (other: TrainerOptions, ...parts: string[]) =>
        rejectsWith(resume(other), 'ERR_CHECKPOINT', ...parts);
      const backbone = { learningRateScale: 0.5 };
      await refuses(
        { groups: { ...groups, backbone } },
        'groups.backbone.learningRateScale 0.25 (now 0.5)',
      );
      await refuses(
        { groups: {} },
        'groups.backbone.learningRateScale 0.25 (now not set)',
        'groups.transformation.weightDecay 0 (now not set)',
      );
      await refuses({ weightDecayOn: 'all' }, 'weightDecayOn "matrices" (now not set)');
      await resume({});
    });

    it('leave no trace where there are none, so that older ones go on', async () => {
      const path = directory.path('plain');
      await run({ checkpoint: path, epochs: 1 }, {});
      const { settings } = await readCheckpointState(join(path, 'last'));
      assert.ok(!('weightDecayOn' in settings.trainer));
      assert.deepEqual(settings.trainer.groups, {});
      // As it was written before groups existed.
      delete (settings.trainer as { groups?: unknown }).groups;
      const file = join(path, 'last', 'trainer_state.json');
      const state = JSON.parse(await readFile(file, 'utf8')) as object;
      await writeFile(file, JSON.stringify({ ...state, settings }));
      await finish(
        new Trainer(await makeModel(), {}).fit(faces(28), {
          ...{ batchSize: 7, epochs: 1, resume: path },
        }),
      );
    });
  });

  describe('refuse', () => {
    const wrong: [unknown, string, ...string[]][] = [
      [3, 'all', 'groups', '3 (number)'],
      [[], 'all', 'groups'],
      [{ neck: {} }, 'all', 'groups', 'neck', 'backbone, transformation'],
      [{ head: { learningRateScale: 2 } }, 'all', 'head', 'resnet18'],
      [{ backbone: 0.1 }, 'all', 'groups.backbone', '0.1'],
      [{ backbone: null }, 'all', 'groups.backbone', 'null'],
      [{ backbone: { learningRateScale: -1 } }, 'all', 'groups.backbone.learningRateScale', '-1'],
      [{ backbone: { learningRateScale: NaN } }, 'all', 'groups.backbone.learningRateScale', 'NaN'],
      [{ backbone: { learningRateScale: Infinity } }, 'all', 'learningRateScale', 'Infinity'],
      [{ backbone: { learningRateScale: '1' } }, 'all', 'learningRateScale', "'1'"],
      [{ transformation: { weightDecay: -0.1 } }, 'all', 'groups.transformation.weightDecay'],
      [{ backbone: { learningRateScale: 1e300 } }, 'all', 'learningRateScale'],
      [
        { backbone: { learningRateScale: 0 }, transformation: { learningRateScale: 0 } },
        ...['all', 'above 0 of one of backbone, transformation', 'all frozen'],
      ] as [unknown, string, ...string[]],
      [{}, 'norms', 'weightDecayOn', 'all, matrices', 'norms'],
    ];
    let model: Model;
    before(async () => {
      model = await makeModel();
    });
    after(() => {
      model.close();
    });
    for (const [groups, weightDecayOn, ...parts] of wrong) {
      it(`${JSON.stringify(groups)}, ${weightDecayOn}: ${parts.join()}`, () =>
        rejectsWith(
          () => new Trainer(model, { groups, weightDecayOn } as TrainerOptions),
          'ERR_INVALID_ARGUMENT',
          ...parts,
        ));
    }
  });
});
