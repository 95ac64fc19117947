// Crops a face from an image with TensorFlow.js, predicts its expression, and returns the likeness of
// expressions as a tensor again. Tensors are passed as they are: countenance does not need TensorFlow.js.
//
//   node -r tsx/cjs examples/tfjs.ts MODEL IMAGE
//
// In your project import from 'countenance', and from '@tensorflow/tfjs' or '@tensorflow/tfjs-node'.
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { Predictor } from '../lib/index.js';
import { decodeImage } from '../lib/data/index.js';

/** Part of an image, each side 0..1. */
interface Box {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

/** Pixels of a box as an int32 tensor [height, width, 3]; dispose it. */
function crop(image: tf.Tensor3D, { top, left, bottom, right }: Box): tf.Tensor3D {
  const [height, width] = image.shape;
  const y = Math.floor(top * height);
  const x = Math.floor(left * width);
  const size = [Math.ceil(bottom * height) - y, Math.ceil(right * width) - x, 3];
  return tf.slice(image, [y, x, 0], size);
}

async function main([directory, file]: readonly string[]): Promise<void> {
  if (directory === undefined || file === undefined) {
    throw new Error('usage: tfjs.ts MODEL IMAGE');
  }
  await tf.setBackend('cpu');
  await using predictor = await Predictor.load(directory);
  const { data, width, height } = await decodeImage(file);
  const image = tf.tensor3d(Int32Array.from(data), [height, width, 3], 'int32');
  // Where a detector would report faces; here the whole image and its middle.
  const boxes: Box[] = [
    { top: 0, left: 0, bottom: 1, right: 1 },
    { top: 0.1, left: 0.1, bottom: 0.9, right: 0.9 },
  ];
  const faces = boxes.map((box) => crop(image, box));

  for (const { label, score } of await predictor.predict(faces)) {
    console.log(`${label} ${score.toFixed(2)}`);
  }
  const embeddings = await predictor.embed(faces);
  const cosines = tf.tidy(() => {
    const rows = tf.stack(embeddings.map(({ expression }) => tf.tensor1d(expression)));
    const unit = tf.div(rows, tf.norm(rows, 'euclidean', 1, true));
    return tf.matMul(unit, unit, false, true);
  });
  console.log('likeness', await cosines.array());
  tf.dispose([image, ...faces, cosines]);
  // Nothing of ours holds a tensor: anything left over would be a leak.
  console.log('tensors left', tf.memory().numTensors);
}

if (require.main === module) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
