import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { Command } from 'commander';
import type { Dataset } from '../data/dataset.js';
import { openDataset } from '../data/registry.js';
import { writeError } from '../errors.js';
import { Model } from '../model/model.js';
import { evaluate } from '../model/evaluate.js';
import { Predictor } from '../predict/predictor.js';
import { exitStatus, wholeNumber } from './options.js';
import { errorLine, Output, type Streams } from './output.js';
import { runAsProcess } from './process.js';
import { duration } from './progress.js';
import { run } from './program.js';
import { classTable } from './table.js';
import { shellWord } from './train-log.js';

interface DemoArguments {
  readonly out: string;
  readonly faces: number;
  readonly epochs: number;
  readonly seed: number;
  readonly threads?: number;
}

/** Faces that the model is tested on; it has never seen them. */
const unseenFaces = 280;
/** Images written to disk, one per class. */
const imagesWritten = 7;

/**
 * The demonstration, `npm run demo`: trains a small model on synthetic faces, tests it on faces it has
 * never seen, predicts images from disk, and says what to try next. It makes all of its data and
 * downloads nothing.
 */
export function main(argv: readonly string[] = process.argv.slice(2)): void {
  const command = new Command('demo')
    .description('Trains and tests a small model on synthetic faces.')
    .option('--out <dir>', 'where to write the model and images', 'countenance-demo')
    .option('--faces <n>', 'faces to train on', wholeNumber(70), 2100)
    .option('--epochs <n>', 'passes over them', wholeNumber(1), 8)
    .option('--seed <n>', 'of weights, order and augmentation', wholeNumber(0), 0)
    .option('--threads <n>', 'CPU threads (default: every core)', wholeNumber(1, 1024));
  command.parse(argv, { from: 'user' });
  runAsProcess(async (streams) => {
    try {
      return await demonstrate(command.opts<DemoArguments>(), streams);
    } catch (error) {
      streams.stderr.write(`${errorLine(error)}\n`);
      return exitStatus.failed;
    }
  });
}

async function demonstrate(options: DemoArguments, streams: Streams): Promise<number> {
  const started = performance.now();
  const output = new Output(streams, false);
  const directory = join(options.out, 'model');
  output.text(
    'Drawn faces with seven expressions, made by this program (no photographs, no download).\n' +
      'A ResNet-18 of 48 x 48 pixels learns them: each face is drawn to the text of its expression,\n' +
      'and its neutral counterpart away from it.\n',
  );
  const training = [
    'train',
    ...['--data', `synthetic:${options.faces}#train`],
    ...['--validation', 'synthetic:210#valid'],
    ...['--backbone', 'resnet18', '--size', '48', '--text', 'synthetic'],
    ...['--epochs', String(options.epochs), '--batch-size', '32', '--seed', String(options.seed)],
    ...['--out', directory],
    ...(options.threads === undefined ? [] : ['--threads', String(options.threads)]),
  ];
  output.text(`$ countenance ${training.map(shellWord).join(' ')}`);
  const status = await run(training, streams);
  if (status !== exitStatus.done) return status;

  await using model = await Model.load(directory, threadsOf(options));
  const test = await openDataset(`synthetic:${unseenFaces}#test`);
  const metrics = await evaluate(model, test);
  output.text(`\nOn ${metrics.count} faces it never saw:\n\n${classTable(metrics)}`);

  const files = await writeFaces(test, join(options.out, 'faces'));
  const predictor = new Predictor(model);
  const predictions = await predictor.predict(files);
  output.text('\nImages written to disk, and what the model says of them:\n');
  const width = Math.max(...files.map((file) => file.length));
  predictions.forEach(({ label, score, intensity }, i) => {
    const figures = `${score.toFixed(2)}  intensity ${intensity.toFixed(2)}`;
    output.text(`  ${files[i]!.padEnd(width)}  ${label.padEnd(9)}  ${figures}`);
  });

  const seconds = (performance.now() - started) / 1000;
  output.text(`\n${nextSteps(options.out, directory)}\n\nDone in ${duration(seconds)} minutes.`);
  output.text(`accuracy ${metrics.accuracy.toFixed(2)} on ${metrics.count} unseen synthetic faces`);
  return exitStatus.done;
}

function threadsOf({ threads }: DemoArguments): { threads?: number } {
  return threads === undefined ? {} : { threads };
}

/** Writes one image of each class as a PNG file, and returns their paths. */
async function writeFaces(dataset: Dataset, directory: string): Promise<string[]> {
  const files: string[] = [];
  try {
    await mkdir(directory, { recursive: true });
    for (let i = 0; i < imagesWritten; i++) {
      const file = join(directory, `${dataset.classes[dataset.label(i)]!}.png`);
      const { data, width, height } = await dataset.load(i);
      await sharp(data, { raw: { width, height, channels: 3 } }).toFile(file);
      files.push(file);
    }
  } catch (error) {
    throw writeError(directory, error);
  }
  return files;
}

/** Commands that work from here, the project's directory. */
function nextSteps(out: string, model: string): string {
  const command = 'node dist/esm/cli/main.js';
  const faces = `${shellWord(join(out, 'faces'))}/*.png`;
  return [
    'Try next:',
    '  npm run build',
    `  ${command} predict --model ${shellWord(model)} ${faces}`,
    `  ${command} evaluate --model ${shellWord(model)} --data synthetic:700#9 --report report.html`,
    `  ${command} train --help`,
    'and with your own images, one folder a class (one of them called neutral):',
    `  ${command} train --data folder:IMAGES --text synthetic --out my-model`,
  ].join('\n');
}
