import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Dataset } from '../data/dataset.js';
import { CountenanceError } from '../errors.js';
import { samplings } from '../data/sampling.js';
import { backbones, precisions } from '../model/config.js';
import { describeGroups, parameterGroups, weightDecayTargets } from '../train/groups.js';
import { contrasts, optimizers } from '../train/options.js';
import { FileLog } from '../train/logs/file-log.js';
import type { TrainingLog } from '../train/logs/log.js';
import { TensorBoardLog } from '../train/logs/tensorboard-log.js';
import { presets } from '../train/presets.js';
import { schedules } from '../train/schedule.js';
import { Trainer } from '../train/trainer.js';
import { Interrupt } from './interrupt.js';
import {
  addDeviceOptions,
  addJsonOption,
  examples,
  exitStatus,
  nameList,
  numberPairs,
  realNumber,
  repeated,
  specHelp,
  wholeNumber,
} from './options.js';
import { Output, type Context } from './output.js';
import { TrainLog, shellWord } from './train-log.js';
import {
  copyBestModel,
  createModel,
  loadCheckpointModel,
  openCheckpoint,
  openLimited,
} from './train-model.js';
import {
  checkpointSteps,
  defaultValidationFraction,
  fitOptions,
  pickRunArguments,
  trainerOptions,
  type TrainArguments,
} from './train-settings.js';
import { checkWritableDirectory, checkWritableFile } from './writable.js';

const positive = realNumber('a number above 0', (value) => value > 0);
const notNegative = realNumber('a number of at least 0', (value) => value >= 0);
const share = realNumber('a number of at least 0 and below 1', (value) => value >= 0 && value < 1);
const probability = realNumber('a number from 0 to 1', (value) => value >= 0 && value <= 1);

function learningRateScales(text: string): Record<string, number> {
  const scales = numberPairs('numbers of at least 0', (value) => value >= 0)(text);
  const unknown = Object.keys(scales).find((name) => !parameterGroups.some((g) => g === name));
  if (unknown === undefined) return scales;
  throw new InvalidArgumentError(`Expected parts among ${parameterGroups.join(', ')}.`);
}

/** `countenance train`. */
export function addTrainCommand(program: Command, { streams, finish }: Context): void {
  const command = program
    .command('train')
    .summary('train a model on labelled pictures')
    .description(
      'Trains a model and writes the best one, by accuracy on the validation set, to --out.\n' +
        'Ctrl-C finishes the running step, saves and tells how to go on; so does a checkpoint after a ' +
        'crash.',
    )
    .option('--data <spec>', 'labelled pictures to train on; several times: all of them', repeated)
    .option('--validation <spec>', 'labelled pictures to choose the best epoch by', repeated)
    .addOption(
      new Option(
        '--validation-fraction <x>',
        `share of the training pictures split off for it (default: ${defaultValidationFraction}; 0: none)`,
      )
        .argParser(share)
        .conflicts('validation'),
    )
    .option('--classes <a,b,..>', 'train on these classes only', nameList)
    .option('--neutral <name>', 'the class without expression (default: the one called neutral)')
    .option('--limit <n>', 'use at most this many pictures of each data set', wholeNumber(1))
    .option('--out <dir>', 'directory for the model; its folder "last" holds the newest checkpoint')
    .option('--resume <dir>', 'continue an interrupted run; its options need not be repeated')
    .option('--checkpoint-steps <n>', 'steps between checkpoints (default: 500)', wholeNumber(1))
    .option('--log <file>', 'write steps and epochs to a file, .csv or .jsonl')
    .option('--tensorboard <dir>', 'write event files for TensorBoard')
    .optionsGroup('Model:')
    .addOption(new Option('--backbone <name>', 'encoder (default: resnet18)').choices(backbones))
    .option('--size <n>', 'side of the input in pixels (default: 112)', wholeNumber(32, 4096))
    .addOption(
      new Option('--patch-size <n>', 'Swin-T: side of a patch (default: 2, for 224 pixels 4)')
        .choices(['2', '4'])
        .argParser(Number),
    )
    .option('--drop-path <x>', 'Swin-T: stochastic depth (default: 0.1)', probability)
    .option('--text <file>', 'text embeddings (.safetensors, .npy, .json), or "synthetic"')
    .option('--logit-scale <x>', "factor of the cosines (default: the text's, else 100)", positive)
    .option('--init <weights>', 'start from these weights (.pth, .pt, .safetensors, a directory)')
    .option('--init-prefix <text>', 'take only names that start with this, and take it off')
    .option('--init-partial', 'leave tensors of another shape out instead of refusing the weights')
    .optionsGroup('Training:')
    .addOption(
      new Option('--preset <name>', 'settings for all that is not given, listed below').choices(
        Object.keys(presets),
      ),
    )
    .option('--epochs <n>', '(default: 10)', wholeNumber(1, 1_000_000))
    .option('--batch <n>', 'pictures of one step (default: 64)', wholeNumber(1, 4096))
    .addOption(
      new Option('--optimizer <name>', '(default: sgd, for Swin-T adamw)').choices(optimizers),
    )
    .option('--lr <x>', 'highest learning rate', positive)
    .option(
      '--lr-scale <part=x,..>',
      `learning rate of a part over --lr, 0 freezes it: ${parameterGroups.join(', ')}`,
      learningRateScales,
    )
    .addOption(new Option('--schedule <name>', '(default: cosine)').choices(schedules))
    .addOption(
      new Option(
        '--sampling <name>',
        'how often pictures are drawn: each once, or each class equally often (default: shuffle)',
      ).choices(samplings),
    )
    .option(
      '--class-weights <a=x,..>',
      'draw pictures of a class x times as often',
      numberPairs('numbers above 0', (value) => value > 0),
    )
    .option('--patience <n>', 'end after n epochs without a better validation', wholeNumber(1))
    .option('--min-delta <x>', 'how much better counts for --patience (default: 0)', probability)
    .option('--momentum <x>', 'SGD only (default: 0.9)', share)
    .option('--weight-decay <x>', '(default: 0.0005, for adamw 0.05)', notNegative)
    .addOption(
      new Option('--weight-decay-on <what>', 'what weight decay acts on (default: all)').choices(
        weightDecayTargets,
      ),
    )
    .option('--clip <x>', 'longest gradient (default: none, for adamw 5; 0: none)', notNegative)
    .option('--ema <x>', 'decay of a moving average of the weights (default: none)', share)
    .addOption(
      new Option('--contrast <name>', 'reduction of the contrast loss (default: pairwise)').choices(
        contrasts,
      ),
    )
    .option('--erase <x>', 'probability of erasing a rectangle (default: 0)', probability)
    .addOption(
      new Option('--precision <name>', 'bf16 needs a GPU (default: fp32)').choices(precisions),
    )
    .option('--seed <n>', 'of weights, order, augmentation (default: 0)', wholeNumber(0))
    .optionsGroup('Options:');
  addJsonOption(addDeviceOptions(command))
    .addHelpText('after', specHelp())
    .addHelpText('after', presetHelp())
    .addHelpText(
      'after',
      examples(
        'countenance train --data folder:faces#train --text clip.safetensors --out my-model',
        'countenance train --data ferplus:DIR#train --validation ferplus:DIR#valid --size 48 \\',
        '      --text synthetic --epochs 10 --out my-model',
        'countenance train --preset paper-code --data rafdb:RAF-DB#train --text clip.safetensors \\',
        '      --init start_0.pt --out my-model',
        'countenance train --resume my-model',
      ).replaceAll('$       ', '        '),
    );
  command.action(async (options: TrainArguments) => {
    checkUsage(command, options);
    finish(await train(options, new Output(streams, options.json ?? false)));
  });
}

function presetHelp(): string {
  const width = Math.max(...Object.keys(presets).map((name) => name.length));
  const lines = Object.entries(presets).map(
    ([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`,
  );
  return `\nPresets:\n${lines.join('\n')}`;
}

/** What commander cannot say: which options need each other. */
function checkUsage(command: Command, options: TrainArguments): void {
  const { resume, init, minDelta, patience } = options;
  if (minDelta !== undefined && patience === undefined && resume === undefined) {
    command.error("error: option '--min-delta' needs option '--patience'");
  }
  if (resume !== undefined && init !== undefined) {
    command.error("error: option '--init' cannot be used with option '--resume'");
  }
  if (resume !== undefined) return;
  for (const name of ['data', 'text', 'out'] as const) {
    if (options[name] !== undefined) continue;
    const hint = name === 'text' ? ' (a file of text embeddings, or synthetic)' : '';
    command.error(`error: required option '--${name}' not specified${hint}`);
  }
}

async function train(given: TrainArguments, output: Output): Promise<number> {
  using interrupt = new Interrupt(() => {
    output.note('stopping after this step (once more to quit at once) ...');
  });
  const { signal } = interrupt;
  const log = new TrainLog(output);
  let out = given.out ?? '';
  try {
    const resumed = given.resume === undefined ? undefined : await openCheckpoint(given.resume);
    const options: TrainArguments = { ...resumed?.options, ...given };
    // Older checkpoints keep a single specification.
    const specs = options.data && [options.data].flat();
    out = given.out ?? resumed?.run ?? '';
    if (specs === undefined || out === '') {
      const missing = specs === undefined ? '--data' : '--out';
      throw new CountenanceError(
        'ERR_CHECKPOINT',
        `Checkpoint '${given.resume}' does not tell its ${missing.slice(2)}: give ${missing}`,
      );
    }
    const data = await openLimited(specs, options, signal, 'training');
    const validation = await openValidation(options, signal, output);
    await checkWritableDirectory(out);
    const logs = await openLogs(options);
    await using model = resumed
      ? await loadCheckpointModel({ ...given, ...precisionOf(options) }, resumed.checkpoint)
      : await createModel(options, data, signal, output);
    if (resumed?.run !== undefined) await copyBestModel(resumed.run, out);
    await using trainer = new Trainer(model, trainerOptions(options));
    for (const line of describeGroups(trainer.options)) output.note(line);
    const events = trainer.fit(data, {
      ...fitOptions(options),
      validation,
      signal,
      checkpoint: {
        directory: out,
        everySteps: checkpointSteps(options),
        onAbort: true,
        metadata: { run: pickRunArguments(options) },
      },
      ...(resumed && { resume: resumed.checkpoint }),
    });
    try {
      for await (const event of events) {
        log.report(event);
        for (const each of logs) await each.report(event);
      }
    } finally {
      for (const each of logs) await each.close();
    }
    return exitStatus.done;
  } catch (error) {
    const aborted = error instanceof CountenanceError && error.code === 'ERR_ABORTED';
    if (!aborted || !signal.aborted) throw error;
    reportInterrupt(log, given.resume, out, output);
    return interrupt.status;
  }
}

/** A resumed run evaluates as it did before. */
function precisionOf({ precision }: TrainArguments): TrainArguments {
  return precision === undefined ? {} : { precision };
}

/** The logs asked for; what cannot be written is refused before any work. */
async function openLogs({ log, tensorboard }: TrainArguments): Promise<TrainingLog[]> {
  const logs: TrainingLog[] = [];
  if (log !== undefined) {
    logs.push(FileLog.at(log));
    await checkWritableFile(log);
  }
  if (tensorboard !== undefined) {
    await checkWritableDirectory(tensorboard);
    logs.push(TensorBoardLog.at(tensorboard));
  }
  return logs;
}

async function openValidation(
  options: TrainArguments,
  signal: AbortSignal,
  output: Output,
): Promise<Dataset | number | null> {
  if (options.validation !== undefined) {
    return openLimited([options.validation].flat(), options, signal, 'validation');
  }
  const fraction = options.validationFraction ?? defaultValidationFraction;
  if (fraction === 0) return null;
  output.note(
    `no validation set: ${+(fraction * 100).toFixed(2)} % of the training pictures are split off, ` +
      'class by class, and the best epoch is chosen by them',
  );
  return fraction;
}

function reportInterrupt(
  { checkpoint }: TrainLog,
  resumed: string | undefined,
  out: string,
  output: Output,
): void {
  output.record({
    event: 'interrupted',
    checkpoint: checkpoint?.directory ?? null,
    ...(checkpoint && { epoch: checkpoint.epoch, step: checkpoint.step }),
  });
  if (checkpoint) {
    const { directory, epoch, step } = checkpoint;
    output.note(`stopped in epoch ${epoch} after step ${step}; saved in ${directory}`);
  } else {
    output.note('stopped before the first step; nothing was changed');
  }
  const next = checkpoint ? out : resumed;
  if (next !== undefined)
    output.note(`continue with: countenance train --resume ${shellWord(next)}`);
}
