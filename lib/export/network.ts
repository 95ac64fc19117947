import type { ModelConfig } from '../model/config.js';
import { embeddingWidth } from '../model/config.js';
import type { TextEmbeddings } from '../text/embeddings.js';
import type { Layers } from './layers.js';
import type { ValueName } from './onnx/graph.js';
import { resnet18 } from './resnet.js';
import { swinT } from './swin.js';

/** Guard of the norms, as in torch's cosine_similarity. */
const epsilon = 1e-8;

/** What the network gives for images (B, 3, S, S). */
export interface NetworkOutputs {
  /** (B, K) */
  readonly logits: ValueName;
  /** (B, K), rows summing to 1. */
  readonly probabilities: ValueName;
  /** (B, 512): facial expression representation f_e. */
  readonly expression: ValueName;
  /** (B, 512): neutral representation f_n. */
  readonly neutral: ValueName;
}

/** The whole network of the method, from normalised images (B, 3, S, S). */
export function ke2nt(
  layers: Layers,
  images: ValueName,
  config: ModelConfig,
  text: TextEmbeddings,
): NetworkOutputs {
  const expression =
    config.backbone === 'resnet18'
      ? resnet18(layers, images, 'encoder')
      : swinT(layers, images, 'encoder', config);
  const hidden = layers.relu(layers.linear(expression, 'MLP.fc1'), 'MLP.relu');
  const neutral = layers.linear(hidden, 'MLP.fc2');
  const logits = cosineLogits(layers, expression, text, config.logitScale);
  const probabilities = layers.graph.node('head', 'Softmax', [logits], { axis: -1 });
  return { logits, probabilities, expression, neutral };
}

/** logits = s hat(f_e) hat(T)^T; the text is normalised here, once. */
function cosineLogits(
  { graph }: Layers,
  features: ValueName,
  text: TextEmbeddings,
  logitScale: number,
): ValueName {
  const length = graph.node('head.norm', 'ReduceL2', [features], { axes: [1], keepdims: 1 });
  const guarded = graph.node('head.norm', 'Max', [length, graph.scalar(epsilon)]);
  const direction = graph.node('head', 'Div', [features, guarded]);
  const rows = graph.tensor('text_embeddings', {
    shape: text.shape,
    data: normalisedRows(text.data, embeddingWidth),
  });
  const attributes = { transB: 1, alpha: { float: logitScale } };
  return graph.node('head', 'Gemm', [direction, rows], attributes);
}

/** Rows divided by their length, in double precision. */
function normalisedRows(data: Float32Array, width: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let start = 0; start < data.length; start += width) {
    const row = data.subarray(start, start + width);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    row.forEach((value, i) => (result[start + i] = value / length));
  }
  return result;
}
