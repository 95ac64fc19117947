import { CountenanceError } from '../errors.js';
import { callNative, nativeAddon } from '../load-native.js';
import type { ModelConfig } from '../model/config.js';
import type { NativeGraph } from '../native.js';
import type { ValueName } from './onnx/graph.js';
import { operations } from './operations.js';
import { Step, type Operands } from './step.js';
import { Values } from './values.js';

/** Outputs of the network for images (B, 3, S, S). */
export interface NetworkOutputs {
  /** (B, K) */
  readonly logits: ValueName;
  /** (B, 512): facial expression representation f_e. */
  readonly expression: ValueName;
  /** (B, 512): neutral representation f_n. */
  readonly neutral: ValueName;
}

/** The network of a model in evaluation mode, as the core builds it. */
export function evaluationGraph(config: ModelConfig): NativeGraph {
  const { backbone, inputSize, patchSize, dropPath, classes, neutral, logitScale } = config;
  return callNative(() =>
    nativeAddon().describeGraph({
      ...{ backbone, inputSize, patchSize, dropPath, logitScale },
      classes: classes.length,
      neutral: classes.indexOf(neutral),
      mode: 'evaluation',
      batch: 1,
      precision: 'fp32',
    }),
  );
}

/**
 * Writes every operation of an evaluation graph into an ONNX graph.
 *
 * @param images normalised images (B, 3, S, S)
 * @throws CountenanceError ERR_INTERNAL that names an operation whose type is not known here
 */
export function writeNetwork(
  graph: NativeGraph,
  images: ValueName,
  given: Omit<Operands, 'values'>,
): NetworkOutputs {
  const values = new Values(given.onnx, graph.values);
  values.set(graph.inputs['images']!, 'planes', images);
  for (const operation of graph.operations) {
    const write = operations.get(operation.type);
    if (!write) {
      const what = `type '${operation.type}' of operation '${operation.name}'`;
      throw new CountenanceError('ERR_INTERNAL', `The export does not know the ${what}`);
    }
    write(new Step({ ...given, values }, operation));
  }
  const output = (role: keyof NetworkOutputs) => values.get(graph.outputs[role]!, 'rows');
  return {
    logits: output('logits'),
    expression: output('expression'),
    neutral: output('neutral'),
  };
}
