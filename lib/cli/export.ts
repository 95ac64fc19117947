import { stat } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import { exportOnnx, onnxInputs, type OnnxInput } from '../export/onnx.js';
import { Model } from '../model.js';
import { addJsonOption, examples, exitStatus } from './options.js';
import { Output, type Context } from './output.js';
import { checkWritableFile } from './writable.js';

interface ExportArguments {
  readonly model: string;
  readonly format: ExportFormat;
  readonly input: OnnxInput;
  readonly out: string;
  readonly json?: boolean;
}

/** How each format writes a model. */
const formats = {
  onnx: (model: Model, { out, input }: ExportArguments) => exportOnnx(model, out, { input }),
} as const;
type ExportFormat = keyof typeof formats;

/** `countenance export`. */
export function addExportCommand(program: Command, { streams, finish }: Context): void {
  const command = program
    .command('export')
    .summary('write a model in a format of other programs')
    .description(
      'Writes a model as an ONNX file (operator set 17, any batch size) with the outputs logits, ' +
        'probabilities, expression and neutral. The preparation of pictures is told in its metadata.',
    )
    .requiredOption('--model <dir>', 'model directory written by training')
    .addOption(
      new Option('--format <name>', 'format of the file')
        .choices(Object.keys(formats))
        .makeOptionMandatory(),
    )
    .requiredOption('--out <file>', 'file to write')
    .addOption(
      new Option(
        '--input <name>',
        'pixel_values: float32 (B, 3, S, S), normalised; pixels: uint8 RGB (B, S, S, 3)',
      )
        .choices(onnxInputs)
        .default('pixel_values'),
    );
  addJsonOption(command).addHelpText(
    'after',
    examples('countenance export --model my-model --format onnx --out my-model.onnx'),
  );
  command.action(async (options: ExportArguments) => {
    await exportModel(options, new Output(streams, options.json ?? false));
    finish(exitStatus.done);
  });
}

async function exportModel(options: ExportArguments, output: Output): Promise<void> {
  const { model: directory, format, out } = options;
  await checkWritableFile(out);
  // Nothing is computed: a GPU would only have to give the weights back.
  await using model = await Model.load(directory, { device: 'cpu' });
  await formats[format](model, options);
  const { size } = await stat(out);
  output.record({ file: out, format, bytes: size });
  output.text(`${out}: ${format}, ${(size / 1e6).toFixed(1)} MB`);
}
