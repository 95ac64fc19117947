import assert from 'node:assert/strict';
import { join } from 'node:path';
import {
  Trainer,
  type FitOptions,
  type TrainerOptions,
  type TrainingEvent,
} from '../../lib/index.js';
import { observeEpoch, stoppingStart } from '../../lib/train/early-stopping.js';
import { digestFile, faces, finish, makeModel, only } from '../api-support.js';
import { command, jsonLines } from '../cli/support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

const data = faces(28);
const options = {
  batchSize: 7,
  epochs: 9,
  validation: faces(7, 1),
  sampling: 'balanced',
  classWeights: { fear: 3 },
  // No epoch is better by that much than the first: the run ends after the third.
  earlyStopping: { patience: 2, minDelta: 0.99 },
} as const satisfies FitOptions;

async function run(
  fit: FitOptions,
  trainerOptions: TrainerOptions = {},
  until: (event: TrainingEvent) => boolean = () => false,
): Promise<TrainingEvent[]> {
  await using model = await makeModel();
  await using trainer = new Trainer(model, trainerOptions);
  const events: TrainingEvent[] = [];
  for await (const event of trainer.fit(data, { ...options, ...fit })) {
    events.push(event);
    if (until(event)) break;
  }
  return events;
}

describe('early stopping and sampling in a run', function () {
  this.timeout(180_000);
  const directory = temporaryDirectory();

  /** All bytes a run leaves. */
  const result = (path: string): string[] =>
    [
      ['model.safetensors'],
      ['README.md'],
      ['last', 'model.safetensors'],
      ['last', 'trainer_state.safetensors'],
      ['last', 'trainer_state.json'],
    ].map((parts) => digestFile(path, ...parts));

  it('counts epochs without a better accuracy', () => {
    const settings = { patience: 2, minDelta: 0.1 };
    const waits: number[] = [];
    let state = stoppingStart;
    for (const accuracy of [0, 0.3, 0.35, 0.4, 0.41, 0.6, 0.5]) {
      state = observeEpoch(state, accuracy, settings);
      waits.push(state.waited);
    }
    // 0.4 is not more than 0.1 above 0.3, 0.41 is.
    assert.deepEqual(waits, [0, 0, 1, 2, 0, 0, 1]);
    assert.equal(state.accuracy, 0.6);
  });

  it('ends a run, and a resumed one after the same epoch with the same bits', async () => {
    const [whole, cut] = [directory.path('whole'), directory.path('cut')];
    const events = await run({ checkpoint: whole });
    assert.equal(only(events, 'epoch').length, 3);
    const [end] = only(events, 'end');
    assert.deepEqual([end!.epochs, end!.stoppedAfter], [9, 3]);

    const inSecond = { directory: cut, everySteps: 6 };
    await run({ checkpoint: inSecond }, {}, (event) => {
      return event.type === 'checkpoint' && event.reason === 'steps';
    });
    const rest = await run({ checkpoint: cut, resume: cut });
    assert.deepEqual(
      only(rest, 'epoch').map(({ epoch }) => epoch),
      [2, 3],
    );
    assert.deepEqual(result(cut), result(whole));

    const nothing = await run({ resume: whole });
    assert.deepEqual(
      nothing.map(({ type }) => type),
      ['start', 'end'],
    );
    assert.equal(only(nothing, 'end')[0]!.stoppedAfter, 3);
    const refuses = (fit: FitOptions, ...parts: string[]): Promise<unknown> =>
      rejectsWith(run({ ...fit, resume: whole }), 'ERR_CHECKPOINT', ...parts);
    await refuses(
      { earlyStopping: { patience: 3, minDelta: 0.99 } },
      'earlyStopping.patience 2 (now 3)',
    );
    await refuses({ earlyStopping: null }, 'earlyStopping.patience 2 (now not set)');
    await refuses({ sampling: 'shuffle' }, 'sampling "balanced" (now "shuffle")');
    await refuses({ classWeights: { fear: 2 } }, 'classWeights.1 3 (now 2)');
    await refuses({ sampling: 'shuffle', classWeights: {} }, '(now not set)');
  });

  it('does not end a run without it', async () => {
    const events = await run({ earlyStopping: null, epochs: 4 });
    assert.equal(only(events, 'epoch').length, 4);
    assert.equal(only(events, 'end')[0]!.stoppedAfter, null);
  });

  it('changes what is learned, and the same seed gives the same bits', async () => {
    const weights = async (fit: FitOptions): Promise<string> => {
      const path = directory.path('weights');
      await run({ earlyStopping: null, epochs: 1, checkpoint: path, ...fit });
      return digestFile(path, 'last', 'model.safetensors');
    };
    const balanced = await weights({});
    assert.equal(await weights({ cacheBytes: 0 }), balanced);
    assert.notEqual(await weights({ sampling: 'shuffle', classWeights: {} }), balanced);
    assert.notEqual(await weights({ classWeights: { fear: 2 } }), balanced);
  });

  it('refuses wrong options, by name', async () => {
    await using model = await makeModel();
    await using trainer = new Trainer(model);
    const bad: [object, ...string[]][] = [
      [{ earlyStopping: 3 }, 'earlyStopping'],
      [{ earlyStopping: {} }, 'earlyStopping.patience'],
      [{ earlyStopping: { patience: 0 } }, 'earlyStopping.patience'],
      [{ earlyStopping: { patience: 1, minDelta: 2 } }, 'earlyStopping.minDelta'],
      [{ sampling: 'all' }, 'sampling', 'balanced'],
      [{ classWeights: 3 }, 'classWeights'],
    ];
    for (const [fit, ...parts] of bad) {
      await rejectsWith(() => trainer.fit(data, fit), 'ERR_INVALID_ARGUMENT', ...parts);
    }
    const late = (fit: FitOptions): Promise<unknown> =>
      finish(trainer.fit(data, { ...options, ...fit }));
    await rejectsWith(late({ validation: null }), 'ERR_INVALID_ARGUMENT', 'earlyStopping');
    await rejectsWith(late({ classWeights: { joyless: 1 } }), 'ERR_INVALID_ARGUMENT', 'joyless');
    await rejectsWith(late({ classWeights: { fear: 0 } }), 'ERR_INVALID_ARGUMENT', 'fear');
  });

  it('are options of the command, which a resumed run keeps', async () => {
    const out = directory.path('command');
    const { status, stdout, stderr } = await command(
      ...['train', '--data', 'synthetic:14#1', '--data', 'synthetic:7#2'],
      ...[
        '--validation',
        'synthetic:7#3',
        '--size',
        '32',
        '--batch-size',
        '7',
        '--text',
        'synthetic',
      ],
      ...['--sampling', 'balanced', '--class-weights', 'fear=2,joy=0.5', '--patience', '1'],
      ...['--min-delta', '0.99', '--epochs', '5', '--out', out, '--json'],
    );
    assert.equal(status, 0, stderr);
    assert.match(stderr, /synthetic:14#1 \+ synthetic:7#2: 21 images/);
    const end = jsonLines(stdout).at(-1)!;
    assert.deepEqual([end['epochs'], end['stoppedAfter'], end['steps']], [5, 2, 6]);
    const resumed = await command('train', '--resume', join(out, 'last'));
    assert.equal(resumed.status, 0, resumed.stderr);
    assert.match(resumed.stdout, /stopped early after epoch 2/);
    const other = await command('train', '--resume', out, '--patience', '2');
    assert.match(other.stderr, /earlyStopping\.patience 1 \(now 2\)/);
    for (const wrong of [
      ['--class-weights', 'fear'],
      ['--class-weights', 'fear=0'],
      ['--class-weights', '=1'],
      ['--sampling', 'some'],
      ['--patience', '0'],
      ['--min-delta', '0.1'],
    ]) {
      const argv = ['train', '--data', 'synthetic:7', '--text', 'synthetic', '--out', out];
      assert.equal((await command(...argv, ...wrong)).status, 2, wrong.join(' '));
    }
  });
});
