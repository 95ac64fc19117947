import assert from 'node:assert/strict';
import type { StateDict } from '../../lib/index.js';
import { digest, makeModel } from '../api-support.js';
import { rejectsWith } from '../data/data-support.js';
import { startWeights, transformation } from './start-weights-support.js';

describe('start weights', function () {
  this.timeout(60_000);
  const start = startWeights();
  const { encoder, copy, named, under, hasEncoder } = start;

  describe('with the names of wrappers', () => {
    const wrap = (pattern: RegExp, wrapper: string) => (name: string) =>
      name.replace(pattern, `$&${wrapper}.`);
    const everywhere = (name: string): string =>
      name
        .split('.')
        .map((segment, i) => (i > 0 && !/\d/.test(segment) ? `_orig_mod.${segment}` : segment))
        .join('.');
    const cases: Record<string, { rename: (name: string) => string; prefix?: string }> = {
      'one compiled stage': { rename: wrap(/^layer1\./, '_orig_mod') },
      'the stage of the anchor compiled block by block': {
        rename: wrap(/^layer\d\.\d\./, '_orig_mod'),
      },
      'fully sharded, whole and by blocks': {
        rename: (name) =>
          `_fsdp_wrapped_module.${wrap(/^layer\d\.\d\./, '_fsdp_wrapped_module')(name)}`,
        prefix: '_fsdp_wrapped_module.',
      },
      'checkpointed blocks': { rename: wrap(/^layer[34]\.\d\./, '_checkpoint_wrapped_module') },
      'parallel, compiled and checkpointed': {
        rename: (name) =>
          `state_dict.module._orig_mod.${wrap(/^layer1\.0\./, '_checkpoint_wrapped_module')(name)}`,
        prefix: 'state_dict.module._orig_mod.',
      },
      'parallel parts': { rename: wrap(/^(conv1|layer2)\./, 'module') },
      'a wrapper before each segment': { rename: everywhere },
      'an encoder of ours, compiled': { rename: (name) => `encoder._orig_mod.${name}` },
    };
    for (const [name, { rename, prefix = '' }] of Object.entries(cases)) {
      it(`${name} are all found`, async () => {
        const report = await start.model.initialize(named(encoder, rename));
        hasEncoder(encoder, report);
        assert.deepEqual(report.unexpected, []);
        assert.equal(report.prefix, prefix);
      });
    }

    it('two names that are one without them are told', async () => {
      const twice = named(encoder, (name) => name);
      twice.set('layer1._orig_mod.0.conv1.weight', copy.get('layer1.0.conv1.weight')!);
      const report = await start.model.initialize(twice);
      hasEncoder(encoder, report);
      assert.deepEqual(report.unexpected, ['layer1._orig_mod.0.conv1.weight']);
    });
  });

  describe('that lack a part of the encoder', () => {
    const odd = (): StateDict =>
      named(encoder, (name) => name.replace(/^layer1\./, 'layer1.strange.'));

    it('are refused, with what is missing and the odd names', async () => {
      const before = digest(start.model.stateDict());
      // Without layer1 the family of torchvision is not recognised: the names of the encoder itself are.
      const { message } = await rejectsWith(start.model.initialize(odd()), 'ERR_SHAPE_MISMATCH');
      assert.match(
        message,
        /^Only 80 of the encoder's 100 tensors are in the weights; missing: encoder\.layer1/,
      );
      assert.match(message, / and 18 more; not understood: layer1\.strange\.0\.conv1\.weight, /);
      assert.match(message, /strict: false \(--init-partial\)/);
      assert.equal(digest(start.model.stateDict()), before, 'nothing was changed');
    });

    it('are taken when asked for, with the odd names in the report', async () => {
      const report = await start.model.initialize(odd(), { strict: false });
      assert.equal(report.matched.length, 80);
      assert.equal(report.missing.length, 24);
      assert.equal(report.unexpected.length, 20);
      assert.ok(report.unexpected.every((name) => name.startsWith('layer1.strange.')));
    });

    it('are refused for one running average', async () => {
      const lacks = named(encoder, (name) => (name === 'bn1.running_mean' ? undefined : name));
      await rejectsWith(
        start.model.initialize(lacks),
        'ERR_SHAPE_MISMATCH',
        "99 of the encoder's 100",
        'encoder.bn1.running_mean;',
      );
    });

    it('may lack the head and the transformation, which only this network has', async () => {
      await using deep = await makeModel({ backbone: 'resnet50' });
      const state = deep.stateDict();
      for (const name of state.keys()) {
        if (/^(MLP|encoder\.fc)\./.test(name)) state.delete(name);
      }
      const report = await deep.initialize(state);
      assert.deepEqual(report.missing, ['encoder.fc.weight', 'encoder.fc.bias', ...transformation]);
    });
  });

  describe('of which a file has two copies', () => {
    it('are the first, and the report says how to take the other', async () => {
      const both = new Map([...under('state_dict.'), ...under('state_dict_ema.module.', copy)]);
      const first = await start.model.initialize(both);
      hasEncoder(encoder, first);
      assert.equal(first.prefix, 'state_dict.');
      const [other, ...more] = first.others;
      assert.deepEqual(more, []);
      assert.deepEqual(other, {
        source: 'ResNet of torchvision, timm or MS-Celeb-1M',
        prefix: 'state_dict_ema.module.',
        matched: 100,
      });
      const second = await start.model.initialize(both, { prefix: other.prefix });
      hasEncoder(copy, second);
      assert.deepEqual(second.others, []);
    });

    it('and one is under no prefix, can both be taken', async () => {
      const both = new Map([...under('ema.', copy), ...encoder]);
      const first = await start.model.initialize(both);
      hasEncoder(copy, first);
      assert.deepEqual(
        first.others.map(({ prefix }) => prefix),
        [''],
      );
      const second = await start.model.initialize(both, { prefix: '' });
      hasEncoder(encoder, second);
      assert.deepEqual(
        second.others.map(({ prefix }) => prefix),
        ['ema.'],
      );
    });

    it('are not two for a few left-over tensors, or for one copy under two families', async () => {
      const few = named(copy, (name) => (name.startsWith('layer1.') ? `old.${name}` : undefined));
      const report = await start.model.initialize(new Map([...under('net.'), ...few]));
      assert.deepEqual(report.others, []);
      const own = await start.model.initialize(under('encoder.'));
      assert.deepEqual(own.others, []);
    });
  });

  describe('beside states of an optimizer', () => {
    const slots = [
      ...['optimizer.exp_avg.', 'optimizer.exp_avg_sq.', 'exp_avg.', 'momentum_buffer.module.'],
      ...['state_optimizer.', 'optim_state.', 'opt_state.mu.', 'firstMoment.encoder.', 'grads.'],
      ...['optimizer_states.0.', 'optimizerD.'],
    ];
    for (const slot of slots) {
      it(`under ${slot}, are the weights`, async () => {
        const report = await start.model.initialize(
          new Map([...under(slot, copy), ...under('model.')]),
        );
        hasEncoder(encoder, report);
        assert.deepEqual(report.others, []);
        assert.ok(report.ignored.includes(`${slot}conv1.weight`));
      });
    }

    it('are never the states, not even alone or under a prefix that is asked for', async () => {
      const alone = under('optimizer.exp_avg.', copy);
      const { message } = await rejectsWith(start.model.initialize(alone), 'ERR_SHAPE_MISMATCH');
      assert.match(message, /states of an optimizer \(optimizer\.exp_avg\.conv1\.weight, /);
      const prefix = 'optimizer.exp_avg.';
      await rejectsWith(
        start.model.initialize(alone, { prefix }),
        'ERR_SHAPE_MISMATCH',
        'optimizer',
      );
      const both = new Map([...alone, ...encoder]);
      await rejectsWith(start.model.initialize(both, { prefix }), 'ERR_SHAPE_MISMATCH', 'Nothing');
    });

    it('may have a name that only sounds like one', async () => {
      for (const prefix of ['options.', 'optical_flow.', 'optimal.', 'momentum_encoder.']) {
        hasEncoder(encoder, await start.model.initialize(under(prefix)));
      }
    });
  });
});
