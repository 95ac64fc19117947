import type { Command } from 'commander';
import { Predictor, type StreamedPrediction } from '../predictor.js';
import type { TextEmbeddings } from '../text/embeddings.js';
import { loadTextEmbeddings } from '../text/file.js';
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
  readonly text?: string;
  readonly batch: number;
  readonly flip?: boolean;
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
    .option(
      '--text <file>',
      'text embeddings of other classes, made by the text encoder the model was trained with',
    )
    .option('--batch <n>', 'most pictures of one pass', wholeNumber(1, 4096), 32)
    .option('--flip', 'average the scores with those of the mirror image (twice the time)');
  addJsonOption(addPrecisionOption(addDeviceOptions(command))).addHelpText(
    'after',
    examples(
      'countenance predict --model my-model face.jpg',
      'countenance predict --model my-model --text moods.safetensors face.jpg',
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
  const { model, batch, text, flip = false } = options;
  const embeddings = text === undefined ? undefined : await loadTextEmbeddings(text);
  await using loaded = await Predictor.load(model, {
    maxBatch: Math.min(batch, files.length),
    flip,
    ...runOptions(options),
  });
  if (embeddings) noteOtherEncoder(loaded.model.textEmbeddings, embeddings, output);
  const predictor = embeddings ? loaded.withClasses(embeddings) : loaded;
  const width = Math.min(60, Math.max(...files.map((file) => file.length)));
  const labelWidth = Math.max(...predictor.classes.map((name) => name.length));
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

/** Says so where the classes were not embedded by the encoder that the model learned from. */
function noteOtherEncoder(learned: TextEmbeddings, given: TextEmbeddings, output: Output): void {
  const [before, now] = [learned, given].map(({ model, source }) => model ?? source);
  if (before === now) return;
  output.note(
    `countenance: the model was trained with text embeddings of '${before}', these are of '${now}': ` +
      'scores mean something only where both come from one text encoder',
  );
}

function recordOf(file: string, prediction: StreamedPrediction): Record<string, unknown> {
  const { label, score, scores, intensity, neutralDistance, neutralSimilarity } = prediction;
  return { file, label, score, scores, intensity, neutralDistance, neutralSimilarity };
}
