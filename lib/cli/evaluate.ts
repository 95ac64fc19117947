import type { Command } from 'commander';
import { openDataset } from '../data/registry.js';
import { limitDataset } from '../data/subset.js';
import { summariseDataset } from '../data/dataset.js';
import { Model } from '../model.js';
import { evaluate } from '../model/evaluate.js';
import { writeFileAtomic } from '../weights/atomic.js';
import {
  addDeviceOptions,
  addJsonOption,
  addPrecisionOption,
  examples,
  exitStatus,
  runOptions,
  specHelp,
  wholeNumber,
  type DeviceArguments,
} from './options.js';
import { Output, type Context } from './output.js';
import { checkWritableFile } from './writable.js';
import { duration, rate } from './progress.js';
import { reportHtml } from './report.js';
import { accuracies, classTable, confusionTable, figure } from './table.js';

interface EvaluateArguments extends DeviceArguments {
  readonly model: string;
  readonly data: string;
  readonly batch: number;
  readonly limit?: number;
  readonly report?: string;
  readonly json?: boolean;
}

/** `countenance evaluate`. */
export function addEvaluateCommand(program: Command, { streams, finish }: Context): void {
  const command = program
    .command('evaluate')
    .summary('measure a model on labelled pictures')
    .description(
      'Classifies every picture of a data set and compares with its label: accuracy, mean class ' +
        'accuracy, macro F1, figures a class, confusion matrix.',
    )
    .requiredOption('--model <dir>', 'model directory written by training')
    .requiredOption('--data <spec>', 'labelled pictures')
    .option('--report <file.html>', 'also write a page with the figures and the confusion matrix')
    .option('--batch <n>', 'pictures of one pass', wholeNumber(1, 4096), 64)
    .option('--limit <n>', 'use at most this many pictures, chosen at random', wholeNumber(1));
  addJsonOption(addPrecisionOption(addDeviceOptions(command)))
    .addHelpText('after', specHelp())
    .addHelpText(
      'after',
      examples(
        'countenance evaluate --model my-model --data folder:faces#test',
        'countenance evaluate --model my-model --data ferplus:FERPlus/data#test --report report.html',
      ),
    );
  command.action(async (options: EvaluateArguments) => {
    await runEvaluation(options, new Output(streams, options.json ?? false));
    finish(exitStatus.done);
  });
}

async function runEvaluation(options: EvaluateArguments, output: Output): Promise<void> {
  const { model: directory, data, batch, limit, report } = options;
  if (report !== undefined) await checkWritableFile(report);
  await using model = await Model.load(directory, runOptions(options));
  const opened = await openDataset(data);
  const dataset = limit === undefined ? opened : await limitDataset(opened, limit);
  output.note(summariseDataset(dataset));
  for (const note of dataset.notes) output.note(`  ${note}`);

  const started = performance.now();
  const seconds = (): number => Math.max((performance.now() - started) / 1000, 1e-3);
  const metrics = await evaluate(model, dataset, {
    batchSize: batch,
    onProgress: ({ done, total }) => {
      output.progress.update(() => {
        const perSecond = done / seconds();
        return `${done}/${total} images  ${rate(perSecond)}  ${duration((total - done) / perSecond)} left`;
      });
    },
  });
  output.record({ ...metrics });
  output.text(
    `${classTable(metrics)}\n\n${confusionTable(metrics)}\n\n` +
      `${accuracies(metrics)}, macro F1 ${figure(metrics.macroF1)} on ${metrics.count} images ` +
      `(${rate(metrics.count / seconds())})`,
  );
  if (report !== undefined) {
    const page = reportHtml({
      metrics,
      model: directory,
      config: model.config,
      data: dataset.name,
    });
    await writeFileAtomic(report, page);
    output.note(`report written to ${report}`);
  }
}
