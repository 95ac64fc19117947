import assert from 'node:assert/strict';
import type { NativeGraph, NativeGraphOptions } from '../../lib/native.js';
import { addon, failsWith, graphOptions, makeModel, size } from './support.js';

const swin = { ...graphOptions, backbone: 'swin-t', inputSize: 112 } as const;

/** Every value is available before it is read and written once, every parameter used, every name new. */
function assertComplete(graph: NativeGraph): void {
  const { operations, values, parameters, inputs, outputs } = graph;
  const known = new Set(Object.values(inputs));
  const read = new Set(Object.values(outputs));
  for (const { name, type, ...operation } of operations) {
    for (const [role, index] of Object.entries(operation.inputs)) {
      assert.ok(known.has(index), `${name} (${type}) reads ${role} before it is there`);
      read.add(index);
    }
    for (const index of Object.values(operation.outputs)) {
      assert.ok(!known.has(index), `${name} (${type}) writes a value again`);
      known.add(index);
    }
  }
  for (const { name, outputs: made } of operations) {
    assert.ok(
      Object.values(made).some((index) => read.has(index)),
      `nobody reads what ${name} makes`,
    );
  }
  assert.equal(known.size, values.length);
  assert.ok(values.every(({ shape }) => shape.every((side) => Number.isInteger(side))));
  const used = operations.flatMap((operation) => Object.values(operation.parameters));
  assert.deepEqual(new Set(used), new Set(parameters.map(({ name }) => name)));
  assert.equal(new Set(operations.map(({ name }) => name)).size, operations.length);
}

describe('addon: graph', function () {
  this.timeout(60_000);

  it('lists every operation, value and parameter of each encoder', () => {
    for (const options of [graphOptions, swin]) {
      for (const mode of ['evaluation', 'training'] as const) {
        for (const precision of ['fp32', 'bf16'] as const) {
          assertComplete(addon.describeGraph({ ...options, mode, precision }));
        }
      }
    }
  });

  it('has the parameters of the model', async () => {
    const model = await makeModel();
    assert.deepEqual(addon.describeGraph(graphOptions).parameters, model.tensors());
    model.close();
  });

  it('tells what an operation computes from what', () => {
    const { operations, values, inputs, outputs } = addon.describeGraph(graphOptions);
    assert.deepEqual(values[inputs['images']!], {
      shape: [3, size, size, 3],
      dtype: 'float32',
      wantsGradient: false,
    });
    const second = operations.find(({ name }) => name === 'encoder.layer2.0.conv2')!;
    const shortcut = operations.find(({ name }) => name === 'encoder.layer2.0.downsample.0')!;
    assert.equal(second.type, 'conv_norm');
    assert.deepEqual(second.attributes, {
      stride: 1,
      padding: 1,
      eps: Math.fround(1e-5),
      activation: 'relu',
    });
    assert.equal(second.inputs['residual'], shortcut.outputs['y']);
    assert.equal(second.parameters['norm_weight'], 'encoder.layer2.0.bn2.weight');
    assert.equal(shortcut.attributes['activation'], 'none');
    const last = operations.at(-1)!;
    assert.deepEqual(last.outputs, { logits: outputs['logits'] });
    assert.deepEqual(last.inputs, { features: outputs['expression'], text: inputs['text'] });
  });

  it('is the graph of the mode, the batch and the precision', () => {
    const { operations, values } = addon.describeGraph({
      ...swin,
      mode: 'training',
      batch: 5,
      precision: 'bf16',
    });
    const attention = operations.find(({ name }) => name === 'encoder.layers.1.blocks.1.attn')!;
    assert.deepEqual(attention.attributes, { heads: 6, window: 7, shift: 3 });
    assert.deepEqual(values[attention.outputs['y']!], {
      shape: [5, 28, 28, 192],
      dtype: 'bfloat16',
      wantsGradient: true,
    });
    assert.equal(values[attention.outputs['log_sum_exp']!]!.dtype, 'float32');
    assert.equal(operations.at(-1)!.type, 'ke2nt_objective');
  });

  it('refuses options that no model has', async () => {
    const wrong: Partial<Record<keyof NativeGraphOptions, unknown>>[] = [
      { mode: 'inference' },
      { batch: 0 },
      { batch: 5000 },
      { precision: 'fp16' },
      { inputSize: 31 },
      { neutral: 4 },
      { backbone: 'swin-t', inputSize: 100 },
    ];
    for (const options of wrong) {
      await failsWith('ERR_INVALID_ARGUMENT', () =>
        addon.describeGraph({ ...graphOptions, ...options } as NativeGraphOptions),
      );
    }
  });
});
