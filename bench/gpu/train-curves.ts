import { messageOf } from '../../lib/errors.js';
import { Model, Trainer, openDataset, syntheticTextEmbeddings } from '../../lib/index.js';
import { DataLoader, type Batch } from '../../lib/data/index.js';
import { curveSettings, steps, type Curve, type CurveSettings } from './curves.js';

// The training runs of the part `train`, in their own process; prints each Curve as a line of JSON.
// Usage: node train-curves.js [STEPS] [DEVICE]

const inputSize = 64;
const batchSize = 64;
/** Five epochs in 200 steps; drawing them takes longer than training. */
const faces = 40 * batchSize;

const count = Number(process.argv[2] ?? steps);
const devices = process.argv[3]?.split(',') ?? ['cuda', 'cpu'];

async function* batches(loader: DataLoader): AsyncGenerator<Batch> {
  for (let epoch = 0; ; epoch++) yield* loader.epoch(epoch);
}

async function train(settings: CurveSettings, loader: DataLoader): Promise<Curve> {
  const { device, precision, seed } = settings;
  const started = performance.now();
  const losses: number[] = [];
  const told = () => ({ ...settings, losses, seconds: (performance.now() - started) / 1e3 });
  try {
    const { classes } = loader.dataset;
    await using model = await Model.create({
      backbone: 'resnet18',
      inputSize,
      classes,
      textEmbeddings: syntheticTextEmbeddings(classes),
      seed,
      device,
    });
    await using trainer = new Trainer(model, { seed, precision });
    for await (const { images, labels } of batches(loader)) {
      // Rises over 20 steps, so that the first ones do not decide everything.
      const warmUp = Math.min(1, (losses.length + 1) / 20);
      const { loss } = await trainer.step({ images, labels, learningRate: 0.02 * warmUp });
      losses.push(loss);
      if (losses.length === count) break;
    }
    return told();
  } catch (error) {
    return { ...told(), error: messageOf(error) };
  }
}

async function main(): Promise<void> {
  const dataset = await openDataset(`synthetic:${faces}#train`);
  // The order of the images is part of the seed; the faces themselves are drawn once.
  const cached = new Map<number, ReturnType<typeof dataset.load>>();
  const load = (index: number) => {
    const image = cached.get(index) ?? dataset.load(index);
    cached.set(index, image);
    return image;
  };
  for (const settings of curveSettings.filter(({ device }) => devices.includes(device))) {
    const loader = new DataLoader(
      { ...dataset, load },
      {
        batchSize,
        inputSize,
        shuffle: true,
        seed: settings.seed,
        dropLast: true,
      },
    );
    console.log(JSON.stringify(await train(settings, loader)));
  }
}

void main();
