import type { Command } from 'commander';
import { Predictor, type StreamedPrediction } from '../predictor.js';
import {
  addDeviceOptions,
  addJsonOption,
  addPrecisionOption,
  examples,
  exitStatus,
  runOptions,
  wholeNumber,
  type DeviceArguments,
} from './options.js';
import { Output, type Context } from './output.js';

interface PredictArguments extends DeviceArguments {
  readonly model: string;
  readonly batch: number;
  readonly json?: boolean;
}

/** `countenance predict`. */
export function addPredictCommand(program: Command, { streams, finish }: Context): void {
  const command = program
    .command('predict')
    .summary('tell the expressions of pictures')
    .description(
      'Tells the expression of each picture: label, probability, and intensity, which is how far the ' +
        'face is from its own neutral face (0..1).\nA picture that cannot be read gets an error line; ' +
        'the others are still predicted, and the exit status is 1.',
    )
    .argument('<file...>', 'pictures of one cropped face each: JPEG, PNG, WebP, GIF, TIFF, AVIF')
    .requiredOption('--model <dir>', 'model directory written by training')
    .option('--batch <n>', 'most pictures of one pass', wholeNumber(1, 4096), 32);
  addJsonOption(addPrecisionOption(addDeviceOptions(command))).addHelpText(
    'after',
    examples(
      'countenance predict --model my-model face.jpg',
      'countenance predict --model my-model --json faces/*.png > predictions.jsonl',
    ),
  );
  command.action(async (files: string[], options: PredictArguments) => {
    finish(await predict(files, options, new Output(streams, options.json ?? false)));
  });
}

async function predict(
  files: readonly string[],
  options: PredictArguments,
  output: Output,
): Promise<number> {
  const { model, batch } = options;
  await using predictor = await Predictor.load(model, {
    maxBatch: Math.min(batch, files.length),
    ...runOptions(options),
  });
  const width = Math.min(60, Math.max(...files.map((file) => file.length)));
  const labelWidth = Math.max(...predictor.config.classes.map((name) => name.length));
  let failed = 0;
  const predictions = predictor.predictStream(files, {
    onError: (error, _image, index) => {
      failed += 1;
      const { code, message } = error;
      if (output.json) output.record({ file: files[index]!, error: { code, message } });
      else output.error(error);
    },
  });
  for await (const prediction of predictions) {
    const file = files[prediction.index]!;
    output.record(recordOf(file, prediction));
    const { label, score, intensity } = prediction;
    output.text(
      `${file.padEnd(width)}  ${label.padEnd(labelWidth)}  ${score.toFixed(4)}  ` +
        `intensity ${intensity.toFixed(2)}`,
    );
  }
  if (failed > 0 && files.length > 1)
    output.note(`countenance: ${failed} of ${files.length} pictures failed`);
  return failed > 0 ? exitStatus.failed : exitStatus.done;
}

function recordOf(file: string, prediction: StreamedPrediction): Record<string, unknown> {
  const { label, score, scores, intensity, neutralDistance, neutralSimilarity } = prediction;
  return { file, label, score, scores, intensity, neutralDistance, neutralSimilarity };
}
