import { Option, type Command } from 'commander';
import { exportNames } from '../model/export.js';
import { Model } from '../model.js';
import { weightFormats, type WeightFileFormat } from '../weights/write.js';
import { addJsonOption, examples, exitStatus } from './options.js';
import { Output, type Context } from './output.js';
import { checkWritableFile } from './writable.js';

interface ExportArguments {
  readonly model: string;
  readonly out: string;
  readonly format?: WeightFileFormat;
  readonly names: (typeof exportNames)[number];
  readonly json?: boolean;
}

/** `countenance export`. */
export function addExportCommand(program: Command, { streams, finish }: Context): void {
  const command = program
    .command('export')
    .summary('write the weights of a model for other programs')
    .description(
      'Writes the weights and running statistics of a model into one file: safetensors, or a state ' +
        'dict that torch.load(file, weights_only=True) reads.',
    )
    .requiredOption('--model <dir>', 'model directory written by training')
    .requiredOption('--out <file>', 'file to write')
    .addOption(
      new Option(
        '--format <name>',
        "(default: by the file's ending, .safetensors or .pth)",
      ).choices(weightFormats),
    )
    .addOption(
      new Option(
        '--names <which>',
        'model: every tensor, encoder.* and MLP.*; encoder: the encoder alone, under the names of ' +
          'torchvision (ResNet-18) or Microsoft (Swin-T)',
      )
        .choices(exportNames)
        .default('model'),
    );
  addJsonOption(command).addHelpText(
    'after',
    examples(
      'countenance export --model my-model --out my-model.pth',
      'countenance export --model my-model --names encoder --out encoder.safetensors',
    ),
  );
  command.action(async (options: ExportArguments) => {
    await exportWeights(options, new Output(streams, options.json ?? false));
    finish(exitStatus.done);
  });
}

async function exportWeights(options: ExportArguments, output: Output): Promise<void> {
  const { model: directory, out, format, names } = options;
  await checkWritableFile(out);
  await using model = await Model.load(directory, { device: 'cpu' });
  await model.saveWeights(out, { names, ...(format && { format }) });
  output.record({ model: directory, out, names });
  output.text(`weights of ${directory} written to ${out}`);
}
