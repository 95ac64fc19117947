import { CountenanceError } from '../errors.js';
import { patchMerge, windowAttention } from './attention.js';
import { cosineLogits } from './head.js';
import type { ValueName } from './onnx/graph.js';
import type { Step } from './step.js';

/** An operation of the core in evaluation mode as ONNX nodes, by its type. */
export const operations: ReadonlyMap<string, (step: Step) => void> = new Map([
  ['add', add],
  ['batch_norm_evaluation', batchNorm],
  ['conv2d', convolution],
  ['conv_norm', convNorm],
  ['cosine_logits', cosineLogits],
  ['global_average_pool', globalAveragePool],
  ['layer_norm', layerNorm],
  ['linear', linear],
  ['linear_gelu', linearGelu],
  ['max_pool', maxPool],
  ['patch_merge', patchMerge],
  ['relu', relu],
  ['window_attention', windowAttention],
]);

function add(step: Step): void {
  const layout = step.layout('a');
  step.give(step.node('Add', [step.input('a', layout), step.input('b', layout)]), layout);
}

function relu(step: Step): void {
  const layout = step.layout('x');
  step.give(step.node('Relu', [step.input('x', layout)]), layout);
}

/** In both layouts the second dimension holds the channels. */
function batchNorm(step: Step): void {
  const layout = step.layout('x');
  let y = normalised(step, step.input('x', layout), 'weight', 'bias');
  if (step.has('residual')) y = step.node('Add', [y, step.input('residual', layout)]);
  step.give(activated(step, y), layout);
}

function convolution(step: Step): void {
  step.give(convolved(step), 'planes');
}

/** activation(norm(convolution) + residual); the program that runs the file folds the norm again. */
function convNorm(step: Step): void {
  let y = normalised(step, convolved(step), 'norm_weight', 'norm_bias');
  if (step.has('residual')) y = step.node('Add', [y, step.input('residual', 'planes')]);
  step.give(activated(step, y), 'planes');
}

function linear(step: Step): void {
  step.give(product(step), 'rows');
}

/** x (1 + erf(x / sqrt 2)) / 2; the Gelu operator was added in a later set. */
function linearGelu(step: Step): void {
  const { onnx } = step;
  const x = product(step);
  const scaled = step.node('Mul', [x, onnx.scalar(Math.SQRT1_2)], {}, 'scaled');
  const share = step.node('Add', [step.node('Erf', [scaled]), onnx.scalar(1)], {}, 'share');
  const half = step.node('Mul', [x, onnx.scalar(0.5)], {}, 'half');
  step.give(step.node('Mul', [half, share], {}, 'gelu'), 'rows');
}

/** Over the channels. */
function layerNorm(step: Step): void {
  const inputs = [step.input('x', 'rows'), step.weight('weight'), step.weight('bias')];
  const attributes = { axis: -1, epsilon: { float: step.number('eps') } };
  step.give(step.node('LayerNormalization', inputs, attributes), 'rows');
}

/** ONNX pads with minus infinity too. */
function maxPool(step: Step): void {
  const kernel = step.number('kernel');
  const attributes = { kernel_shape: [kernel, kernel], ...placing(step) };
  step.give(step.node('MaxPool', [step.input('x', 'planes')], attributes), 'planes');
}

/** (B, H, W, C) -> (B, C) */
function globalAveragePool(step: Step): void {
  if (step.layout('x') === 'planes') {
    const y = step.node('GlobalAveragePool', [step.input('x', 'planes')]);
    step.give(step.node('Flatten', [y], { axis: 1 }), 'rows');
    return;
  }
  const [, height, width, channels] = step.shape('x') as [number, number, number, number];
  const tokens = step.reshape(step.input('x', 'rows'), [-1, height * width, channels]);
  step.give(step.node('ReduceMean', [tokens], { axes: [1], keepdims: 0 }), 'rows');
}

/** Convolution with zero padding on every side; the weight is (out, in, height, width). */
function convolved(step: Step): ValueName {
  const inputs = [step.input('x', 'planes'), step.weight('weight')];
  if (step.has('bias')) inputs.push(step.weight('bias'));
  const kernel = step.tensor('weight').shape.slice(2);
  return step.node('Conv', inputs, { kernel_shape: kernel, ...placing(step) });
}

function placing(step: Step): { strides: number[]; pads: number[] } {
  const stride = step.number('stride');
  return { strides: [stride, stride], pads: new Array<number>(4).fill(step.number('padding')) };
}

/** Batch norm with the running statistics. */
function normalised(step: Step, x: ValueName, weight: string, bias: string): ValueName {
  const roles = [weight, bias, 'running_mean', 'running_var'];
  const inputs = [x, ...roles.map((role) => step.weight(role))];
  return step.node('BatchNormalization', inputs, { epsilon: { float: step.number('eps') } });
}

/** y = x W^T + b; W (out, in). */
function product(step: Step): ValueName {
  const inputs = [step.input('x', 'rows'), step.weight('weight')];
  if (step.has('bias')) inputs.push(step.weight('bias'));
  return step.node('Gemm', inputs, { transB: 1 });
}

function activated(step: Step, x: ValueName): ValueName {
  if (step.activation === 'none') return x;
  if (step.activation === 'relu') return step.node('Relu', [x]);
  const what = `activation '${step.activation}' of '${step.name}'`;
  throw new CountenanceError('ERR_INTERNAL', `The export does not know the ${what}`);
}
