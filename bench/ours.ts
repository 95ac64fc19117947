import { Model, Trainer, syntheticTextEmbeddings } from '../lib/index.js';
import { rafdbClasses } from '../lib/data/index.js';
import { meanMagnitude, noiseImages, serve, type Setup, type Step } from './serve.js';

// Our side of the benchmark, in its own process, through the public API.

async function setUp(setup: Setup): Promise<Step> {
  const { task, backbone, size, batch, device, precision, threads } = setup;
  const classes = rafdbClasses;
  const model = await Model.create({
    backbone,
    inputSize: size,
    classes,
    textEmbeddings: syntheticTextEmbeddings(classes),
    device,
    precision,
    threads,
  });
  const images = noiseImages(batch, size);
  if (task === 'infer') {
    return async () => meanMagnitude((await model.forward({ images })).logits.data);
  }
  const trainer = new Trainer(model, {
    optimizer: 'sgd',
    learningRate: 0.002,
    momentum: 0.9,
    weightDecay: 5e-4,
    maxGradientNorm: 0,
    precision,
  });
  const labels = Array.from({ length: batch }, (_, i) => i % classes.length);
  return async () => (await trainer.step({ images, labels })).loss;
}

void serve(setUp);
