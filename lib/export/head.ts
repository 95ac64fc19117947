import type { Step } from './step.js';

/** Guard of the norms, as in torch's cosine_similarity. */
const epsilon = 1e-8;

/** logits = s hat(f_e) hat(T)^T; the text is normalised here, once. */
export function cosineLogits(step: Step): void {
  const { onnx, operands } = step;
  const features = step.input('features', 'rows');
  const length = step.node('ReduceL2', [features], { axes: [1], keepdims: 1 });
  const direction = step.node('Div', [features, step.node('Max', [length, onnx.scalar(epsilon)])]);
  const { shape, data } = operands.text;
  const rows = onnx.tensor('text_embeddings', { shape, data: normalisedRows(data, shape[1]) });
  const attributes = { transB: 1, alpha: { float: step.number('scale') } };
  step.give(step.node('Gemm', [direction, rows], attributes), 'rows', 'logits');
}

/** Rows divided by their norms, in double precision. */
function normalisedRows(data: Float32Array, width: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let start = 0; start < data.length; start += width) {
    const row = data.subarray(start, start + width);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    row.forEach((value, i) => (result[start + i] = value / length));
  }
  return result;
}
