import { checkChoice, invalidArgument } from '../check.js';
import { throwIfAborted } from '../errors.js';
import { internalsOf, Model } from '../model/model.js';
import type { ModelConfig } from '../model/config.js';
import { preprocessorJson } from '../model/directory.js';
import { readState } from '../model/state.js';
import type { TextEmbeddings } from '../text/embeddings.js';
import { inTurns } from '../turns.js';
import type { StateDict } from '../types.js';
import { version } from '../version.js';
import { writeFileAtomic } from '../weights/atomic.js';
import { evaluationGraph, writeNetwork } from './network.js';
import { OnnxGraph, type Dimension, type ValueName } from './onnx/graph.js';
import { encodeModel } from './onnx/model.js';

/** The possible inputs of an exported model. */
export const onnxInputs = ['pixel_values', 'pixels'] as const;
/** One of {@link onnxInputs}. */
export type OnnxInput = (typeof onnxInputs)[number];

/** Options of {@link exportOnnx}. */
export interface OnnxOptions {
  /**
   * The file's only input, and its name. `pixel_values` (default): float32 (B, 3, S, S), resized
   * and normalised by the caller as the metadata say. `pixels`: uint8 RGB (B, S, S, 3), resized by the
   * caller, normalised in the file.
   */
  readonly input?: OnnxInput;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes a model as an ONNX file (operator set 17, any batch size): one input (see
 * {@link OnnxOptions.input}), four outputs, all float32: `logits` (B, K), `probabilities` (B, K),
 * `expression` (B, 512) and `neutral` (B, 512). Classes, text, logit scale and the preparation of
 * images are stored in its metadata.
 *
 * @throws CountenanceError ERR_WRITE that names the file and the reason, ERR_INVALID_ARGUMENT,
 *   ERR_ABORTED, ERR_CLOSED
 * @example
 * await using model = await Model.load('my-model', { device: 'cpu' });
 * await exportOnnx(model, 'my-model.onnx');
 */
export async function exportOnnx(
  model: Model,
  file: string,
  options: OnnxOptions = {},
): Promise<void> {
  if (!(model instanceof Model)) throw invalidArgument('a Model', 'model', model);
  const input = checkChoice(options.input ?? 'pixel_values', 'input', onnxInputs);
  throwIfAborted(options.signal, 'The export');
  const { gate, native } = internalsOf(model);
  const state: StateDict = new Map();
  await gate.alone(() => inTurns(readState(native, state)));
  throwIfAborted(options.signal, 'The export');
  await writeFileAtomic(file, encodeOnnx(model.config, model.textEmbeddings, state, input));
}

/**
 * The bytes of an ONNX file, in pieces.
 *
 * @param state every tensor of the model under its PyTorch name; not copied
 */
export function encodeOnnx(
  config: ModelConfig,
  text: TextEmbeddings,
  state: StateDict,
  input: OnnxInput,
): Uint8Array[] {
  const graph = new OnnxGraph(`countenance_${config.backbone}`);
  const images =
    input === 'pixels' ? pixelInput(graph, config) : normalisedInput(graph, config.inputSize);
  const outputs = writeNetwork(evaluationGraph(config), images, { onnx: graph, state, text });
  const probabilities = graph.node('probabilities', 'Softmax', [outputs.logits], { axis: -1 });
  const [classes, width] = text.shape;
  graph.output('logits', outputs.logits, [batch, classes]);
  graph.output('probabilities', probabilities, [batch, classes]);
  graph.output('expression', outputs.expression, [batch, width]);
  graph.output('neutral', outputs.neutral, [batch, width]);
  return encodeModel(graph, version, description(config), metadata(config, text, input));
}

/** Name of the dimension that is known only when the model runs. */
const batch: Dimension = 'batch';

function normalisedInput(graph: OnnxGraph, size: number): ValueName {
  return graph.input('pixel_values', 'float', [batch, 3, size, size]);
}

/** uint8 (B, S, S, 3) -> (x / 255 - mean) / std, (B, 3, S, S) */
function pixelInput(graph: OnnxGraph, config: ModelConfig): ValueName {
  const { inputSize: size, imageMean, imageStd } = config;
  const pixels = graph.input('pixels', 'uint8', [batch, size, size, 3]);
  const scale = Float32Array.from(imageStd, (std) => 1 / (255 * std));
  const shift = Float32Array.from(imageMean, (mean, i) => -mean / imageStd[i]!);
  const constant = (name: string, data: Float32Array): ValueName =>
    graph.tensor(name, { shape: [3], data });
  let x = graph.node('pixels', 'Cast', [pixels], { to: 1 });
  x = graph.node('pixels', 'Mul', [x, constant('image_scale', scale)]);
  x = graph.node('pixels', 'Add', [x, constant('image_shift', shift)]);
  return graph.node('pixels', 'Transpose', [x], { perm: [0, 3, 1, 2] });
}

function description(config: ModelConfig): string {
  return (
    'Facial expression recognition (KE2NT, arXiv 2409.08598): ' +
    `${config.classes.length} classes, ${config.backbone}, input of ${config.inputSize} pixels.`
  );
}

/** Everything a program that has only the file needs to know. Lists and objects are JSON. */
function metadata(
  config: ModelConfig,
  text: TextEmbeddings,
  input: OnnxInput,
): Record<string, string> {
  const { backbone, inputSize, classes, neutral, logitScale } = config;
  return {
    backbone,
    classes: JSON.stringify(classes),
    neutral,
    logit_scale: String(logitScale),
    text_embeddings: text.source,
    input,
    preprocessor_config: preprocessorJson(config),
    preprocessing:
      `Crop the face, convert to RGB, resize to ${inputSize} x ${inputSize} pixels (bilinear with ` +
      'antialiasing, as PIL). ' +
      (input === 'pixels'
        ? 'Pass the bytes (B, height, width, channels); the model normalises them.'
        : `Divide by 255, subtract the mean ${config.imageMean.join(', ')}, divide by the standard ` +
          `deviation ${config.imageStd.join(', ')}. Layout (B, channels, height, width).`),
  };
}
