import { Option, type Command } from 'commander';
import { openDataset } from '../data/registry.js';
import { limitDataset } from '../data/subset.js';
import { summariseDataset } from '../data/dataset.js';
import { describeMapping } from '../data/shared-classes.js';
import { Model } from '../model/model.js';
import { evaluate, evaluatedClasses, type EvaluateOptions } from '../model/evaluate.js';
import { writeFileAtomic } from '../weights/atomic.js';
import {
  addBatchSizeOption,
  addDeviceOptions,
  addJsonOption,
  addPrecisionOption,
  examples,
  exitStatus,
  runOptions,
  specHelp,
  wholeNumber,
  type BatchSizeArguments,
  type DeviceArguments,
} from './options.js';
import { Output, type Context } from './output.js';
import { checkWritableFile } from './writable.js';
import { duration, rate } from './progress.js';
import { reportHtml } from './report.js';
import { defined } from './train-settings.js';
import { classTable, confusionTable, figuresLine } from './table.js';

interface EvaluateArguments extends DeviceArguments, BatchSizeArguments {
  readonly model: string;
  readonly data: string;
  readonly limit?: number;
  readonly among?: NonNullable<EvaluateOptions['among']>;
  readonly flip?: boolean;
  readonly report?: string;
  readonly json?: boolean;
}

/** `countenance evaluate`. */
export function addEvaluateCommand(program: Command, { streams, finish }: Context): void {
  const command = program
    .command('evaluate')
    .summary('evaluate a model on labelled images')
    .description(
      'Classifies every image of a data set and compares the results with the labels: accuracy, mean class ' +
        'accuracy, macro F1, figures a class, confusion matrix.\nClasses are matched by name (happy is ' +
        'happiness). Of a data set with other classes than the model, the shared ones are used, and the ' +
        'output tells which.',
    )
    .requiredOption('--model <dir>', 'model directory written by training')
    .requiredOption('--data <spec>', 'labelled images')
    .option('--report <file.html>', 'also write a page with the figures and the confusion matrix')
    .addOption(
      new Option(
        '--among <classes>',
        'what the model may answer: the classes it shares with the data, or all (default: shared)',
      ).choices(evaluatedClasses),
    )
    .option('--flip', 'average the logits with those of the mirror image (twice the time)')
    .option('--limit <n>', 'use at most this many images, chosen at random', wholeNumber(1));
  addBatchSizeOption(command, 'images of one forward pass', 64);
  addJsonOption(addPrecisionOption(addDeviceOptions(command)))
    .addHelpText('after', specHelp())
    .addHelpText(
      'after',
      examples(
        'countenance evaluate --model my-model --data folder:faces#test',
        'countenance evaluate --model my-model --data ferplus:FERPlus/data#test --report report.html',
        'countenance evaluate --model rafdb-model --data affectnet8:AffectNet#valid --flip',
      ),
    );
  command.action(async (options: EvaluateArguments) => {
    await runEvaluation(options, new Output(streams, options.json ?? false));
    finish(exitStatus.done);
  });
}

async function runEvaluation(options: EvaluateArguments, output: Output): Promise<void> {
  const {
    model: directory,
    data,
    batchSize,
    batch = batchSize,
    limit,
    among,
    flip,
    report,
  } = options;
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
    ...defined({ among, flip }),
    onProgress: ({ done, total }) => {
      output.progress.update(() => {
        const perSecond = done / seconds();
        return `${done}/${total} images  ${rate(perSecond)}  ${duration((total - done) / perSecond)} left`;
      });
    },
  });
  output.record({ ...metrics });
  if (metrics.mapping) output.text(`${describeMapping(metrics.mapping).join('\n')}\n`);
  output.text(
    `${classTable(metrics)}\n\n${confusionTable(metrics)}\n\n` +
      `${figuresLine(metrics)} on ${metrics.count} images ` +
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
