import type { Command } from 'commander';
import type { CountenanceError } from '../errors.js';
import { checkFormats, defaultFormats, imageFormats } from '../images/formats.js';
import type { Ranked } from '../predict/prediction.js';
import { Predictor, type RankOptions, type StreamedPrediction } from '../predict/predictor.js';
import type { TextEmbeddings } from '../text/embeddings.js';
import { loadTextEmbeddings } from '../text/file.js';
import {
  addBatchSizeOption,
  addDeviceOptions,
  addJsonOption,
  addPrecisionOption,
  examples,
  exitStatus,
  nameList,
  runOptions,
  wholeNumber,
  type BatchSizeArguments,
  type DeviceArguments,
} from './options.js';
import { openDetector } from './face-detector.js';
import { Output, type Context } from './output.js';
import { predictFaces } from './predict-faces.js';
import { PredictionColumns } from './prediction-columns.js';

interface PredictArguments extends DeviceArguments, BatchSizeArguments {
  readonly model: string;
  readonly text?: string;
  readonly faces?: string;
  readonly formats?: readonly string[];
  readonly flip?: boolean;
  readonly topK?: number;
  readonly json?: boolean;
}

/** `countenance predict`. */
export function addPredictCommand(program: Command, { streams, finish }: Context): void {
  const command = program
    .command('predict')
    .summary('predict the expressions of images')
    .description(
      'Predicts the expression of each image: label, probability, and intensity, which is how far the ' +
        'face is from its own neutral face (0..1).\nAn image that cannot be read gets an error line; ' +
        'the others are still predicted, and the exit status is 1.',
    )
    .argument(
      '<file...>',
      'images of one cropped face each, with --faces photos: JPEG, PNG, WebP, GIF, TIFF, AVIF',
    )
    .requiredOption('--model <dir>', 'model directory written by training')
    .option(
      '--text <file>',
      'text embeddings of other classes, made by the text encoder the model was trained with',
    )
    .option(
      '--faces <detector>',
      'find the faces in photos first: human (the optional package @vladmandic/human), or a module ' +
        'whose default export is a detector',
    )
    .option(
      '--formats <list>',
      `formats of images to decode, by what a file is and not by its name, among ` +
        `${imageFormats.join(', ')} (default: ${defaultFormats.join(',')})`,
      nameList,
    )
    .option('--flip', 'average the scores with those of the mirror image (twice the time)')
    .option('--top-k <n>', 'also print the most probable classes, n in total', wholeNumber(1));
  addBatchSizeOption(command, 'most images of one forward pass', 32);
  addJsonOption(addPrecisionOption(addDeviceOptions(command))).addHelpText(
    'after',
    examples(
      'countenance predict --model my-model face.jpg',
      'countenance predict --model my-model --top-k 3 face.jpg',
      'countenance predict --model my-model --text moods.safetensors face.jpg',
      'countenance predict --model my-model --faces human party.jpg',
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
  const { model, batchSize, batch = batchSize, text, topK, flip = false } = options;
  const formats = checkFormats(options.formats, '--formats');
  const detector = options.faces === undefined ? undefined : await openDetector(options.faces);
  const embeddings = text === undefined ? undefined : await loadTextEmbeddings(text);
  await using loaded = await Predictor.load(model, {
    // A photo may contain any number of faces.
    batchSize: detector ? batch : Math.min(batch, files.length),
    flip,
    formats,
    ...(detector && { faces: detector }),
    ...runOptions(options),
  });
  if (embeddings) noteOtherEncoder(loaded.model.textEmbeddings, embeddings, output);
  const predictor = embeddings ? loaded.withClasses(embeddings) : loaded;
  let failed = 0;
  const onError = (error: CountenanceError, index: number): void => {
    failed += 1;
    const { code, message } = error;
    if (output.json) output.record({ file: files[index]!, error: { code, message } });
    else output.error(error);
  };
  const ranked = topK === undefined ? {} : { topK };
  await (detector ? predictFaces : predictFiles)(predictor, files, output, ranked, onError);
  if (output.closed) return exitStatus.unread;
  if (failed > 0 && files.length > 1)
    output.note(`countenance: ${failed} of ${files.length} images failed`);
  return failed > 0 ? exitStatus.failed : exitStatus.done;
}

/** Each file is one face. */
async function predictFiles(
  predictor: Predictor,
  files: readonly string[],
  output: Output,
  ranked: Partial<RankOptions>,
  failed: (error: CountenanceError, index: number) => void,
): Promise<void> {
  const columns = new PredictionColumns(files, predictor.classes);
  const predictions = predictor.predictStream(files, {
    ...ranked,
    onError: (error, _image, index) => failed(error, index),
  });
  for await (const prediction of predictions) {
    const file = files[prediction.index]!;
    output.record(recordOf(file, prediction));
    output.text(columns.prediction(file, prediction));
    if (output.closed) return;
  }
}

/** Reports it if the classes were not embedded by the encoder that the model was trained with. */
function noteOtherEncoder(learned: TextEmbeddings, given: TextEmbeddings, output: Output): void {
  const [before, now] = [learned, given].map(({ model, source }) => model ?? source);
  if (before === now) return;
  output.note(
    `countenance: the model was trained with text embeddings of '${before}', these are of '${now}': ` +
      'scores mean something only where both come from one text encoder',
  );
}

function recordOf(
  file: string,
  prediction: StreamedPrediction & Partial<Ranked>,
): Record<string, unknown> {
  const { label, score, scores, top, intensity, neutralDistance, neutralSimilarity } = prediction;
  return {
    ...{ file, label, score, scores },
    ...(top && { top }),
    ...{ intensity, neutralDistance, neutralSimilarity },
  };
}
