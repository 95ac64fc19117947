import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Model, exportOnnx, syntheticTextEmbeddings } from '../lib/index.js';
import { rafdbClasses } from '../lib/data/index.js';
import { findOnnxRuntime } from './find-onnxruntime.js';
import { meanMagnitude, noiseImages, serve, type Setup, type Step } from './serve.js';

// ONNX Runtime's side of the benchmark, in its own process: our export of the same network, which takes
// uint8 images and normalises them itself, as our forward pass does.

interface Tensor {
  readonly data: unknown;
}

interface OnnxRuntime {
  readonly InferenceSession: {
    create(file: string, options: object): Promise<Session>;
  };
  readonly Tensor: new (type: string, data: Uint8Array, shape: readonly number[]) => Tensor;
}

interface Session {
  run(feeds: Record<string, Tensor>): Promise<Record<string, Tensor>>;
}

async function setUp({ task, backbone, size, batch, threads }: Setup): Promise<Step> {
  if (task !== 'infer') throw new Error('ONNX Runtime for Node does not train');
  const found = findOnnxRuntime();
  if (!found) throw new Error('onnxruntime-node is not installed');
  const { InferenceSession, Tensor } = createRequire(found.file)(found.file) as OnnxRuntime;
  const classes = rafdbClasses;
  const textEmbeddings = syntheticTextEmbeddings(classes);
  const network = { backbone, inputSize: size, classes, textEmbeddings };
  await using model = await Model.create({ ...network, device: 'cpu', threads: 1 });
  const folder = mkdtempSync(join(tmpdir(), 'countenance-bench-'));
  try {
    const file = join(folder, 'model.onnx');
    await exportOnnx(model, file, { input: 'pixels' });
    const session = await InferenceSession.create(file, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'all',
    });
    const pixels = new Tensor('uint8', noiseImages(batch, size), [batch, size, size, 3]);
    return async () => {
      const { logits } = await session.run({ pixels });
      return meanMagnitude(logits!.data as Float32Array);
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

void serve(setUp);
