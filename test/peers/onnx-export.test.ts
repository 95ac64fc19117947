import assert from 'node:assert/strict';
import { join } from 'node:path';
import {
  exportOnnx,
  Model,
  syntheticTextEmbeddings,
  type ModelOptions,
  type ModelOutputs,
  type OnnxInput,
} from '../../lib/index.js';
import { rafdbClasses } from '../../lib/data/index.js';
import { Random } from '../../lib/philox.js';
import { writeNetwork } from '../../lib/export/network.js';
import { OnnxGraph } from '../../lib/export/onnx/graph.js';
import { encodeModel } from '../../lib/export/onnx/model.js';
import { command } from '../cli/support.js';
import { temporaryDirectory } from '../data/data-support.js';
import { mixed, mixedGraph, mixedState } from '../export/support.js';
import { onnxruntime, type OnnxTensor } from './support.js';

/** Weights whose every part affects the result: no norm is the identity, no bias is zero. */
async function unusualModel(options: Partial<ModelOptions>): Promise<Model> {
  const model = await Model.create({
    backbone: 'resnet18',
    textEmbeddings: syntheticTextEmbeddings(rafdbClasses),
    seed: 3,
    device: 'cpu',
    threads: 2,
    ...options,
  });
  const random = new Random(5, 77);
  const around = (centre: number, spread: number): number => centre + spread * random.normal();
  const state = model.stateDict();
  for (const [name, { data, shape }] of state) {
    const draw = name.endsWith('running_var')
      ? () => 0.5 + random.uniform()
      : name.endsWith('running_mean') || name.endsWith('bias')
        ? () => around(0, 0.1)
        : name.endsWith('relative_position_bias_table')
          ? () => around(0, 0.5)
          : shape.length === 1
            ? () => around(1, 0.1)
            : undefined;
    if (draw) for (let i = 0; i < data.length; i++) data[i] = draw();
  }
  model.loadStateDict(state);
  return model;
}

function pictures(count: number, size: number): Uint8Array {
  const random = new Random(9, count, size);
  return Uint8Array.from({ length: count * size * size * 3 }, () => random.below(256));
}

/** (B, S, S, 3) -> (B, 3, S, S), normalised as the file's metadata say. */
function pixelValues(pixels: Uint8Array, size: number, { imageMean, imageStd }: Model['config']) {
  const plane = size * size;
  const values = new Float32Array(pixels.length);
  pixels.forEach((value, i) => {
    const channel = i % 3;
    const pixel = Math.floor(i / 3);
    const at = (Math.floor(pixel / plane) * 3 + channel) * plane + (pixel % plane);
    values[at] = (value / 255 - imageMean[channel]!) / imageStd[channel]!;
  });
  return values;
}

/** The largest difference, relative to the largest magnitude where that is above 1. */
function difference(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  let largest = 1;
  let apart = 0;
  for (let i = 0; i < a.length; i++) {
    assert.ok(Number.isFinite(a[i]) && Number.isFinite(b[i]));
    largest = Math.max(largest, Math.abs(a[i]!));
    apart = Math.max(apart, Math.abs(a[i]! - b[i]!));
  }
  return apart / largest;
}

function compare(ours: ModelOutputs, theirs: Record<string, OnnxTensor>): void {
  for (const name of ['logits', 'expression', 'neutral'] as const) {
    assert.deepEqual([...theirs[name]!.dims], [...ours[name].shape], name);
    const apart = difference(ours[name].data, theirs[name]!.data);
    assert.ok(apart < 1e-4, `${name} differs by ${apart}`);
  }
  const { dims, data } = theirs['probabilities']!;
  const classes = dims[1]!;
  const logits = ours.logits.data;
  for (let start = 0; start < data.length; start += classes) {
    const powers = logits.slice(start, start + classes).map((logit) => Math.exp(logit));
    const sum = powers.reduce((total, power) => total + power, 0);
    powers.forEach((power, k) => {
      assert.ok(Math.abs(power / sum - data[start + k]!) < 1e-4, 'probabilities differ');
    });
  }
}

describe('ONNX export, run by onnxruntime', function () {
  this.timeout(240_000);
  const temporary = temporaryDirectory();

  const cases: {
    readonly what: string;
    readonly options: Partial<ModelOptions>;
    readonly input?: OnnxInput;
  }[] = [
    { what: 'resnet18 of 48', options: { inputSize: 48, logitScale: 20 } },
    { what: 'resnet18 of 75, bytes', options: { inputSize: 75 }, input: 'pixels' },
    { what: 'resnet50 of 49', options: { backbone: 'resnet50', inputSize: 49 } },
    { what: 'swin-s of 112', options: { backbone: 'swin-s', inputSize: 112 } },
    { what: 'swin-t of 112', options: { backbone: 'swin-t', inputSize: 112 } },
    {
      what: 'swin-t of 224 with patches of 4, bytes',
      options: { backbone: 'swin-t', inputSize: 224, patchSize: 4 },
      input: 'pixels',
    },
  ];
  for (const { what, options, input = 'pixel_values' } of cases) {
    it(`gives our own outputs: ${what}`, async () => {
      await using model = await unusualModel(options);
      const size = model.config.inputSize;
      const file = temporary.path(`${options.backbone ?? 'resnet18'}-${size}.onnx`);
      await exportOnnx(model, file, { input });
      const ort = onnxruntime();
      const session = await ort.InferenceSession.create(file);
      assert.deepEqual(session.inputNames, [input]);
      const names = ['logits', 'probabilities', 'expression', 'neutral'];
      assert.deepEqual(session.outputNames, names);
      for (const count of [1, 3]) {
        const images = pictures(count, size);
        const tensor =
          input === 'pixels'
            ? new ort.Tensor('uint8', images, [count, size, size, 3])
            : new ort.Tensor('float32', pixelValues(images, size, model.config), [
                ...[count, 3, size, size],
              ]);
        compare(await model.forward({ images }), await session.run({ [input]: tensor }));
      }
      await session.release();
    });
  }

  it('changes between planes and rows where a network mixes their operations', async () => {
    const { height, width, channels, classes } = mixed;
    const state = mixedState();
    const onnx = new OnnxGraph('mixed');
    const images = onnx.input('images', 'float', ['batch', 3, height, width]);
    const text = {
      shape: [classes, channels] as [number, number],
      data: new Float32Array(classes * channels).fill(1),
    };
    const { expression } = writeNetwork(mixedGraph(), images, { onnx, state, text });
    onnx.output('expression', expression, ['batch', channels]);
    const ort = onnxruntime();
    const file = Buffer.concat(encodeModel(onnx, '0', 'a test', {}));
    const session = await ort.InferenceSession.create(file);
    const count = 2;
    const random = new Random(6, 13);
    const pixels = height * width;
    const input = Float32Array.from({ length: count * 3 * pixels }, () => random.normal());
    const tensor = new ort.Tensor('float32', input, [count, 3, height, width]);
    const theirs = await session.run({ images: tensor });

    const layer = (name: string, x: readonly number[]): number[] => {
      const weight = state.get(`${name}.weight`)!.data;
      const bias = state.get(`${name}.bias`)!.data;
      return Array.from(bias, (start, row) =>
        x.reduce((sum, value, i) => sum + weight[row * x.length + i]! * value, start),
      );
    };
    const at = (image: number, y: number, x: number): number[] => {
      const channel = (c: number) => input[(image * 3 + c) * pixels + y * width + x]!;
      return layer('dense', layer('first', [0, 1, 2].map(channel)));
    };
    const ours = new Float32Array(count * channels);
    for (let image = 0; image < count; image++) {
      for (let y = 0; y < height; y += 2) {
        for (let x = 0; x < width; x += 2) {
          const group = [0, 1, 2, 3].map((i) => at(image, y + (i >> 1), x + (i & 1)));
          for (let c = 0; c < channels; c++) {
            const largest = Math.max(...group.map((values) => values[c]!));
            ours[image * channels + c]! += (4 * largest) / pixels;
          }
        }
      }
    }
    assert.ok(difference(ours, theirs['expression']!.data) < 1e-5);
    await session.release();
  });

  it('is written by the command', async () => {
    const directory = temporary.path('model');
    await using model = await unusualModel({ inputSize: 32 });
    await model.save(directory);
    const file = join(temporary.path(), 'command.onnx');
    const argv = ['export', '--model', directory, '--format', 'onnx', '--out', file];
    const { status, stderr } = await command(...argv);
    assert.equal(status, 0, stderr);
    const ort = onnxruntime();
    const session = await ort.InferenceSession.create(file);
    const images = pictures(2, 32);
    const values = pixelValues(images, 32, model.config);
    const tensor = new ort.Tensor('float32', values, [2, 3, 32, 32]);
    compare(await model.forward({ images }), await session.run({ pixel_values: tensor }));
    await session.release();
  });
});
