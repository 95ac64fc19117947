import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { fieldsWithoutOption, trainOptions, trainSections } from '../../lib/cli/train-options.js';
import { mergeArguments, trainSettings } from '../../lib/cli/train-settings.js';
import type { TrainOption } from '../../lib/cli/train-option.js';
import { resolveFitOptions } from '../../lib/train/fit-options.js';
import { resolveTrainerOptions } from '../../lib/train/options.js';
import { temporaryDirectory } from '../data/data-support.js';
import { command, jsonLines, startChild } from './support.js';

const entries: readonly [string, TrainOption][] = Object.entries(trainOptions);

/** The arguments of both runs; the last three only show that a model's options need not be repeated. */
const common = {
  data: ['synthetic:70#train'],
  classes: ['neutral', 'happiness', 'fear', 'anger'],
  neutral: 'anger',
  limit: 24,
  preset: 'resnet18-finetune',
  epochs: 4,
  batchSize: 7,
  keepLastBatch: true,
  lr: 0.02,
  lrScale: { backbone: 0.5 },
  warmupSteps: 3,
  schedule: 'constant',
  sampling: 'balanced',
  classWeights: { fear: 2, anger: 0.5 },
  patience: 5,
  weightDecay: 0.001,
  weightDecayOn: 'matrices',
  clip: 3,
  ema: 0.5,
  contrast: 'diagonal',
  labelSmoothing: 0.1,
  lossWeights: { supervised: 2, contrast: 0.5 },
  crop: 0.25,
  flip: 0.75,
  erase: 0.125,
  seed: 4,
  checkpointSteps: 2,
  minDelta: 0.001,
  // The only one left at its default: bf16 needs a GPU.
  precision: 'fp32',
  size: 32,
  text: 'synthetic',
  logitScale: 20,
};

/** Options that exclude each other, or that only one optimizer uses, need separate runs. */
const runs = {
  sgd: {
    ...common,
    validation: ['synthetic:14#valid'],
    optimizer: 'sgd',
    momentum: 0.8,
    nesterov: true,
  },
  adamw: {
    ...common,
    validationFraction: 0.2,
    optimizer: 'adamw',
    lr: 0.002,
    betas: [0.8, 0.9],
    eps: 1e-6,
  },
};

type Values = Readonly<Record<string, unknown>>;

/** The values as words of a command line. */
function words(values: Values): string[] {
  return Object.entries(values).flatMap(([name, value]) => {
    const flag = trainOptions[name as keyof typeof trainOptions].flag.split(' ')[0]!;
    if (value === true) return [flag];
    if (flag === '--data' || flag === '--validation') {
      return (value as string[]).flatMap((spec) => [flag, spec]);
    }
    if (Array.isArray(value)) return [flag, value.join(',')];
    if (typeof value !== 'object' || value === null) return [flag, String(value)];
    const pairs = Object.entries(value).map(([key, weight]) => `${key}=${weight}`);
    return [flag, pairs.join(',')];
  });
}

interface State {
  readonly settings: object;
  readonly metadata: { run: Record<string, unknown> };
}

async function readState(directory: string): Promise<State> {
  return JSON.parse(await readFile(`${directory}/last/trainer_state.json`, 'utf8')) as State;
}

/** Runs the command until its first epoch is over and interrupts it. */
async function interrupted(...argv: string[]): Promise<void> {
  const child = startChild('train', ...argv, '--json');
  await child.saw('"epoch":1');
  child.process.kill('SIGINT');
  const { status, stdout, stderr } = await child.end;
  assert.equal(status, 130, stderr);
  assert.equal(jsonLines(stdout).at(-1)!['event'], 'interrupted');
}

describe('command line: the options of train', function () {
  this.timeout(300_000);
  const temporary = temporaryDirectory();

  const sameWeights = async (one: string, other: string): Promise<void> => {
    for (const file of ['model.safetensors', 'last/model.safetensors']) {
      const [a, b] = [one, other].map((run) => readFile(temporary.path(run, file)));
      assert.ok((await a!).equals(await b!), `${file} of ${one} and ${other}`);
    }
  };

  it('are in its help, each under one heading, but for older names', async () => {
    const { stdout } = await command('train', '--help');
    const lines = stdout.split('\n');
    for (const [name, { flag, formerly }] of entries) {
      assert.ok(
        lines.some((line) => line.startsWith(`  ${flag} `)),
        flag,
      );
      assert.ok(formerly === undefined || !stdout.includes(`--${formerly} `), formerly);
      const sections = Object.values(trainSections).filter((section) => name in section);
      assert.equal(sections.length, 1, name);
    }
    for (const heading of Object.keys(trainSections)) assert.ok(lines.includes(heading), heading);
  });

  it('tell why a checkpoint does not keep them, or why a field has none', () => {
    for (const [name, entry] of entries) assert.ok(entry.kept || entry.because !== '', name);
    for (const [field, why] of Object.entries(fieldsWithoutOption)) assert.ok(why, field);
  });

  it('are all here: what is kept is tried below, at another value than its default', () => {
    const tried = new Set(Object.values(runs).flatMap((run) => Object.keys(run)));
    const kept = entries.filter(([, entry]) => entry.kept).map(([name]) => name);
    assert.deepEqual(kept.filter((name) => !tried.has(name)).sort(), ['log', 'tensorboard']);

    const resolved = (values: Values): object => {
      const { trainer, fit } = trainSettings(values);
      const { checkpoint, ...rest } = fit;
      return {
        trainer: resolveTrainerOptions(trainer, { backbone: 'resnet18', logitScale: 20 }),
        fit: resolveFitOptions({ ...rest, checkpoint: { directory: 'x', ...checkpoint } }),
      };
    };
    for (const [name, value] of Object.values(runs).flatMap((run) => Object.entries(run))) {
      const { to } = trainOptions[name as keyof typeof trainOptions] as TrainOption;
      const isSet = Array.isArray(to) && !to.every((field: string) => field.startsWith('model.'));
      if (!isSet || name === 'precision' || value === 'sgd') continue;
      const needed = name === 'minDelta' ? { patience: 1 } : {};
      const [given, plain] = [{ ...needed, [name]: value }, needed].map(resolved);
      assert.notDeepEqual(given, plain, name);
    }
  });

  for (const [name, values] of Object.entries(runs)) {
    it(`are all kept by an interrupted run with ${name}, which goes on with the same bits`, async () => {
      const argv = (run: string): string[] => [
        ...words(values),
        ...['--out', temporary.path(run), '--log', temporary.path(`${run}.csv`)],
        ...['--tensorboard', temporary.path(`${run}-board`)],
      ];
      const [whole, stopped] = [`${name}-whole`, `${name}-stopped`];
      await interrupted(...argv(stopped));
      const before = await readState(temporary.path(stopped));
      const through = await command('train', ...argv(whole));
      assert.equal(through.status, 0, through.stderr);
      const resumed = await command('train', '--resume', temporary.path(stopped));
      assert.equal(resumed.status, 0, resumed.stderr);

      const [there, here] = [
        await readState(temporary.path(whole)),
        await readState(temporary.path(stopped)),
      ];
      assert.deepEqual(here.settings, there.settings);
      assert.deepEqual(here.metadata, before.metadata);
      const { size, text, logitScale, ...kept } = values;
      assert.deepEqual(here.metadata.run, {
        ...kept,
        log: temporary.path(`${stopped}.csv`),
        tensorboard: temporary.path(`${stopped}-board`),
      });
      await sameWeights(whole, stopped);
      const config = await readFile(temporary.path(stopped, 'config.json'), 'utf8');
      const model = JSON.parse(config) as Values;
      assert.deepEqual([model['inputSize'], model['logitScale']], [size, logitScale], text);
      const rows = async (run: string): Promise<number> =>
        (await readFile(temporary.path(`${run}.csv`), 'utf8')).split('\n').length;
      assert.equal(await rows(stopped), await rows(whole));
    });
  }

  describe('of an older checkpoint', () => {
    /** Arguments left by the command of version 0.1.0. */
    const old = {
      data: 'synthetic:56#train',
      validationFraction: 0.13,
      epochs: 4,
      batch: 8,
      lr: 0.02,
      momentum: 0.8,
      lrScale: { transformation: 2 },
      seed: 4,
      checkpointSteps: 3,
    };
    const model = ['--text', 'synthetic', '--size', '32'];
    const argv = [
      ...['--data', old.data, '--validation-fraction', '0.13', '--epochs', '4', '--batch', '8'],
      ...['--lr', '0.02', '--momentum', '0.8', '--lr-scale', 'transformation=2', '--seed', '4'],
      ...['--checkpoint-steps', '3', ...model],
    ];

    const rewrite = async (run: string, kept: Values): Promise<void> => {
      const state = await readState(temporary.path(run));
      const text = JSON.stringify({ ...state, metadata: { run: kept } });
      await writeFile(temporary.path(run, 'last', 'trainer_state.json'), text);
    };

    it('go on, by their older names', async () => {
      await interrupted(...argv, '--out', temporary.path('old'));
      const whole = await command('train', ...argv, '--out', temporary.path('old-whole'));
      assert.equal(whole.status, 0, whole.stderr);
      await rewrite('old', old);
      const resumed = await command('train', '--resume', temporary.path('old'));
      assert.equal(resumed.status, 0, resumed.stderr);
      await sameWeights('old-whole', 'old');
      const { settings, metadata } = await readState(temporary.path('old'));
      assert.deepEqual(settings, (await readState(temporary.path('old-whole'))).settings);
      const { batch, data, ...rest } = old;
      assert.deepEqual(metadata.run, { ...rest, data: [data], batchSize: batch });
    });

    it('are refused where this version does not know them', async () => {
      await rewrite('old', { ...old, dropout: 0.5 });
      const { status, stderr } = await command('train', '--resume', temporary.path('old'));
      assert.equal(status, 1);
      assert.match(stderr, /keeps the option 'dropout'.*ERR_CHECKPOINT/);
    });
  });

  it('take the place of kept ones that they rule out', () => {
    const kept = { data: ['a'], validation: ['b'], seed: 3 };
    const given = { resume: 'x', validationFraction: 0.5 };
    assert.deepEqual(mergeArguments(kept, given), { data: ['a'], seed: 3, ...given });
    assert.deepEqual(mergeArguments({ validationFraction: 0.5 }, { validation: ['b'] }), {
      validation: ['b'],
    });
  });

  it('that need another one or rule it out are refused', async () => {
    const train = ['train', '--data', 'synthetic:70', '--text', 'synthetic', '--out', 'x'];
    const cases: [string[], ...string[]][] = [
      [[...train, '--batch', '7', '--batch-size', '7'], '--batch', '--batch-size'],
      [[...train, '--min-delta', '0.1'], '--min-delta', '--patience'],
      [[...train, '--init-prefix', 'a.'], '--init-prefix', '--init'],
      [['train', '--resume', 'x', '--init-partial'], '--init-partial', '--init'],
      [[...train, '--betas', '0.9'], '--betas', 'two numbers'],
      [[...train, '--betas', '0.9,1'], '--betas', 'below 1'],
      [[...train, '--loss-weights', 'text=1'], '--loss-weights', 'transformation'],
      [[...train, '--patch-size', '3'], '--patch-size', '2, 4'],
    ];
    for (const [argv, ...parts] of cases) {
      const { status, stderr } = await command(...argv);
      assert.equal(status, 2, `${argv.join(' ')}: ${stderr}`);
      for (const part of parts) assert.ok(stderr.includes(part), `'${stderr}' mentions '${part}'`);
    }
  });
});
