import type { Command } from 'commander';
import type { Dataset } from '../data/dataset.js';
import { CountenanceError, isAbortOf } from '../errors.js';
import { describeGroups } from '../train/groups.js';
import { FileLog } from '../train/logs/file-log.js';
import type { TrainingLog } from '../train/logs/log.js';
import { TensorBoardLog } from '../train/logs/tensorboard-log.js';
import { presets } from '../train/presets.js';
import { Trainer } from '../train/trainer.js';
import { Interrupt } from './interrupt.js';
import { examples, exitStatus, specHelp } from './options.js';
import { Output, type Context } from './output.js';
import { defaultValidationFraction } from './train-defaults.js';
import { TrainLog, shellWord } from './train-log.js';
import {
  copyBestModel,
  createModel,
  loadCheckpointModel,
  openCheckpoint,
  openLimited,
} from './train-model.js';
import type { TrainArguments } from './train-options.js';
import {
  addTrainOptions,
  keptArguments,
  mergeArguments,
  readArguments,
  trainSettings,
} from './train-settings.js';
import { checkWritableDirectory, checkWritableFile } from './writable.js';

/** `countenance train`. */
export function addTrainCommand(program: Command, { streams, finish }: Context): void {
  const command = program
    .command('train')
    .summary('train a model on labelled images')
    .description(
      'Trains a model and writes the best one, by accuracy on the validation set, to --out.\n' +
        'Ctrl-C finishes the running step, saves and tells how to go on; so does a checkpoint after a ' +
        'crash.',
    );
  addTrainOptions(command);
  command
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
  command.action(async (parsed: Readonly<Record<string, unknown>>) => {
    const options = readArguments(command, parsed);
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

/** What a new run requires. */
function checkUsage(command: Command, options: TrainArguments): void {
  if (options.resume !== undefined) return;
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
    const options = resumed ? mergeArguments(resumed.options, given) : given;
    const settings = trainSettings(options);
    const specs = options.data;
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
      ? await loadCheckpointModel(options, resumed.checkpoint)
      : await createModel(options, settings, data, signal, output);
    if (resumed?.run !== undefined) await copyBestModel(resumed.run, out);
    await using trainer = new Trainer(model, settings.trainer);
    for (const line of describeGroups(trainer.options)) output.note(line);
    const events = trainer.fit(data, {
      ...settings.fit,
      validation,
      signal,
      checkpoint: {
        ...settings.fit.checkpoint,
        directory: out,
        onAbort: true,
        metadata: { run: keptArguments(options) },
      },
      ...(resumed && { resume: resumed.checkpoint }),
    });
    let unread = false;
    try {
      for await (const event of events) {
        log.report(event);
        if (output.closed && !unread) output.note('standard output is closed; training goes on');
        unread = output.closed;
        for (const each of logs) await each.report(event);
      }
    } finally {
      for (const each of logs) await each.close();
    }
    return exitStatus.done;
  } catch (error) {
    if (!isAbortOf(signal, error)) throw error;
    reportInterrupt(log, given.resume, out, output);
    return interrupt.status;
  }
}

/** The requested logs; a path that cannot be written is rejected before any work. */
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
    return openLimited(options.validation, options, signal, 'validation');
  }
  const fraction = options.validationFraction ?? defaultValidationFraction;
  if (fraction === 0) return null;
  output.note(
    `no validation set: ${+(fraction * 100).toFixed(2)} % of the training images are split off, ` +
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
