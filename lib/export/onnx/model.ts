import { Message } from '../../protobuf.js';
import type { OnnxGraph } from './graph.js';

/** The operator set the graphs are written for: the first with LayerNormalization. */
const operatorSet = 17;

/** Version of the file format that goes with {@link operatorSet}. */
const irVersion = 8;

/**
 * An ONNX file as pieces to be written in order (`ModelProto`).
 *
 * @param metadata free text by key; onnxruntime calls it the custom metadata map
 * @throws CountenanceError ERR_UNSUPPORTED above 2 GiB
 */
export function encodeModel(
  graph: OnnxGraph,
  producerVersion: string,
  description: string,
  metadata: Readonly<Record<string, string>>,
): Uint8Array[] {
  const model = new Message()
    .int(1, irVersion)
    .string(2, 'countenance')
    .string(3, producerVersion)
    .string(6, description)
    .message(7, graph.encode())
    .message(8, new Message().string(1, '').int(2, operatorSet));
  for (const [key, value] of Object.entries(metadata)) {
    model.message(14, new Message().string(1, key).string(2, value));
  }
  return model.pieces();
}
