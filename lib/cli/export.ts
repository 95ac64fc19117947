import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { Option, type Command } from 'commander';
import { exportOnnx, onnxInputs, type OnnxInput } from '../export/onnx.js';
import { exportNames } from '../model/export.js';
import { Model } from '../model/model.js';
import { formatOf, weightFormats, type WeightFileFormat } from '../weights/write.js';
import { addJsonOption, examples, exitStatus } from './options.js';
import { Output, type Context } from './output.js';
import { checkWritableFile } from './writable.js';

const formats = ['onnx', ...weightFormats] as const;
type ExportFormat = 'onnx' | WeightFileFormat;

interface ExportArguments {
  readonly model: string;
  readonly out: string;
  readonly format?: ExportFormat;
  readonly input: OnnxInput;
  readonly names: (typeof exportNames)[number];
  readonly json?: boolean;
}

/** `countenance export`. */
export function addExportCommand(program: Command, { streams, finish }: Context): void {
  const command = program
    .command('export')
    .summary('export a model for other programs')
    .description(
      'Writes a model into one file for other programs.\n\n' +
        'onnx: the network (operator set 17, any batch size) with the outputs logits, probabilities, ' +
        'expression and neutral; the preprocessing is described in its metadata.\n' +
        'safetensors, pytorch: weights and running statistics; the latter is a state dict that ' +
        'torch.load(file, weights_only=True) reads.',
    )
    .requiredOption('--model <dir>', 'model directory written by training')
    .requiredOption('--out <file>', 'file to write')
    .addOption(
      new Option(
        '--format <name>',
        "(default: by the file's ending, .onnx, .safetensors or .pth)",
      ).choices(formats),
    )
    .addOption(
      new Option(
        '--input <name>',
        'of onnx; pixel_values: float32 (B, 3, S, S), normalised; pixels: uint8 RGB (B, S, S, 3)',
      )
        .choices(onnxInputs)
        .default('pixel_values'),
    )
    .addOption(
      new Option(
        '--names <which>',
        'of weights; model: every tensor, encoder.* and MLP.*; encoder: the encoder alone, under the ' +
          'names of torchvision (ResNet) or Microsoft (Swin)',
      )
        .choices(exportNames)
        .default('model'),
    );
  addJsonOption(command).addHelpText(
    'after',
    examples(
      'countenance export --model my-model --out my-model.onnx',
      'countenance export --model my-model --out my-model.pth',
      'countenance export --model my-model --names encoder --out encoder.safetensors',
    ),
  );
  command.action(async (options: ExportArguments) => {
    await exportModel(options, new Output(streams, options.json ?? false));
    finish(exitStatus.done);
  });
}

async function exportModel(options: ExportArguments, output: Output): Promise<void> {
  const { model: directory, out, input, names } = options;
  const format = options.format ?? (extname(out) === '.onnx' ? 'onnx' : formatOf(out));
  await checkWritableFile(out);
  // Nothing is computed, so a GPU would only have to return the weights.
  await using model = await Model.load(directory, { device: 'cpu' });
  if (format === 'onnx') await exportOnnx(model, out, { input });
  else await model.saveWeights(out, { names, format });
  const { size } = await stat(out);
  output.record({ file: out, format, bytes: size });
  output.text(`${out}: ${format}, ${(size / 1e6).toFixed(1)} MB`);
}
