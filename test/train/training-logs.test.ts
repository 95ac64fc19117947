import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { Trainer, type TrainingEvent } from '../../lib/index.js';
import { FileLog, TensorBoardLog } from '../../lib/train/index.js';
import { drawConfusion } from '../../lib/train/logs/confusion-image.js';
import { crc32c, maskedCrc32c } from '../../lib/train/logs/crc32c.js';
import { EventFile } from '../../lib/train/logs/event-file.js';
import { logColumns } from '../../lib/train/logs/rows.js';
import { faces, makeModel, only } from '../api-support.js';
import { command, jsonLines } from '../cli/support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';
import { readEvents } from './event-reader.js';

describe('logs of a training', function () {
  this.timeout(240_000);
  const directory = temporaryDirectory();
  let events: TrainingEvent[];
  let checkpoint: string;
  before(async () => {
    checkpoint = directory.path('run');
    events = await run(() => false);
  });

  /** A run of 2 epochs of 4 steps, or the part of it up to an event; `resume` continues it. */
  async function run(
    until: (event: TrainingEvent) => boolean,
    options: object = {},
    report: (event: TrainingEvent) => Promise<void> = async () => undefined,
  ): Promise<TrainingEvent[]> {
    await using model = await makeModel();
    await using trainer = new Trainer(model);
    const all: TrainingEvent[] = [];
    const fit = { epochs: 2, batchSize: 7, validation: faces(7, 1), ...options };
    for await (const event of trainer.fit(faces(28), fit)) {
      all.push(event);
      await report(event);
      if (until(event)) break;
    }
    return all;
  }

  const rows = (): (readonly [string, number])[] =>
    events.flatMap((event) =>
      event.type === 'step' || event.type === 'epoch' ? [[event.type, event.step] as const] : [],
    );

  /** The rows of a log as objects, whatever its format. */
  async function read(file: string): Promise<Record<string, unknown>[]> {
    const text = await readFile(file, 'utf8');
    if (file.endsWith('.jsonl')) return jsonLines(text);
    const [header, ...lines] = text.trimEnd().split('\n');
    assert.equal(header, logColumns.join());
    return lines.map((line) => {
      const fields = line.split(',');
      assert.equal(fields.length, logColumns.length);
      const entries = logColumns.map((name, i) => [name, fields[i]!] as const);
      return Object.fromEntries<unknown>(
        entries
          .filter(([, value]) => value !== '')
          .map(([name, value]) => {
            if (name === 'event' || name === 'time') return [name, value];
            return [name, name === 'best' ? value === 'true' : Number(value)];
          }),
      );
    });
  }

  for (const format of ['csv', 'jsonl']) {
    it(`hold a row a step and an epoch: ${format}`, async () => {
      const file = directory.path(`log.${format}`);
      await writeFile(file, 'what an earlier run left');
      const log = FileLog.at(file);
      for (const event of events) await log.report(event);
      await log.close();
      await log.close();
      await rejectsWith(log.report(events[0]!), 'ERR_CLOSED');
      const written = await read(file);
      assert.deepEqual(
        written.map(({ event, step }) => [event, step]),
        rows(),
      );
      for (const [i, step] of only(events, 'step').entries()) {
        const row = written.filter(({ event }) => event === 'step')[i]!;
        const { loss, learningRate, gradientNorm, accuracy, epoch } = step;
        for (const [name, value] of Object.entries({ loss, learningRate, gradientNorm, accuracy }))
          assert.equal(row[name], value, name);
        assert.equal(row['epoch'], epoch);
        assert.ok(!('validationAccuracy' in row));
      }
      const [epoch] = only(events, 'epoch');
      const row = written.find(({ event }) => event === 'epoch')!;
      assert.equal(row['loss'], epoch!.loss);
      assert.equal(row['validationAccuracy'], epoch!.validation!.accuracy);
      assert.equal(row['validationMacroF1'], epoch!.validation!.macroF1);
      assert.equal(row['best'], true);
      assert.ok(Math.abs(Date.parse(row['time'] as string) - Date.now()) < 600_000);
    });
  }

  it('go on where a resumed run does: no row twice, none missing', async () => {
    const [csv, jsonl] = [directory.path('resumed.csv'), directory.path('resumed.jsonl')];
    const board = directory.path('resumed');
    const fit = { checkpoint: { directory: checkpoint, everySteps: 3 } };
    const part = async (until: (event: TrainingEvent) => boolean, more: object): Promise<void> => {
      const logs = [FileLog.at(csv), FileLog.at(jsonl), TensorBoardLog.at(board)];
      await run(until, { ...fit, ...more }, async (event) => {
        for (const log of logs) await log.report(event);
      });
      for (const log of logs) await log.close();
    };
    // Checkpoints after step 3, after step 4 (an epoch's end) and after step 6; two steps are lost.
    await part((event) => event.type === 'step' && event.step === 5, {});
    await writeFile(csv, 'step,2024', { flag: 'a' }); // a line that was cut
    await part((event) => event.type === 'step' && event.step === 8, { resume: checkpoint });
    await part(() => false, { resume: checkpoint });
    for (const file of [csv, jsonl]) {
      assert.deepEqual(
        (await read(file)).map(({ event, step }) => [event, step]),
        rows(),
      );
    }
    const files = (await readdir(board)).map((name) => join(board, name));
    const sessions = files.flatMap((file) =>
      readEvents(file).filter(({ sessionStatus }) => sessionStatus === 1),
    );
    assert.deepEqual(sessions.map(({ step }) => step).sort(), [5, 7], 'what is void');
  });

  it('say what is wrong with their files', async () => {
    for (const name of ['log', 'log.txt', '']) {
      await rejectsWith(() => FileLog.at(name), 'ERR_INVALID_ARGUMENT', '.csv or .jsonl');
    }
    const start = events[0]!;
    assert.equal(start.type, 'start');
    const below = FileLog.at(directory.path('nowhere', 'log.csv'));
    await rejectsWith(below.report(start), 'ERR_WRITE', 'nowhere');
    await mkdir(directory.path('taken.jsonl'));
    const taken = FileLog.at(directory.path('taken.jsonl'));
    await rejectsWith(taken.report(start), 'ERR_WRITE', 'taken.jsonl');
    const resumed = { ...start, resumed: { directory: 'x', step: 4 } } as TrainingEvent;
    for (const name of ['foreign.csv', 'foreign.jsonl']) {
      await writeFile(directory.path(name), 'a,b,c\n1,2,3\n');
      const log = FileLog.at(directory.path(name));
      await rejectsWith(log.report(resumed), 'ERR_READ', name, 'no log of the run');
      assert.equal(await readFile(directory.path(name), 'utf8'), 'a,b,c\n1,2,3\n');
    }
    await writeFile(directory.path('file'), '');
    const board = TensorBoardLog.at(directory.path('file', 'below'));
    await rejectsWith(board.report(start), 'ERR_WRITE', 'below');
    await board.close();
    await rejectsWith(board.report(start), 'ERR_CLOSED');
  });

  describe('for TensorBoard', () => {
    it('are TFRecords of events with their CRCs', async () => {
      assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283, 'the check value of CRC-32C');
      assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa, 'RFC 3720, B.4');
      assert.equal(
        maskedCrc32c(Buffer.from('123456789')),
        (((0xe3069283 >>> 15) | (0xe3069283 << 17)) + 0xa282ead8) >>> 0,
      );
      const file = await EventFile.create(directory.path('plain'), 7);
      await file.scalars(5_000_000_000, { 'a/b': 0.5, c: -1 });
      await file.close();
      await rejectsWith(file.scalars(1, { a: 1 }), 'ERR_CLOSED');
      const [version, session, scalars, ...rest] = readEvents(file.path);
      assert.deepEqual([version!.version, version!.step], ['brain.Event:2', 0]);
      assert.deepEqual([session!.sessionStatus, session!.step], [1, 7]);
      assert.deepEqual(scalars!.scalars, { 'a/b': 0.5, c: -1 });
      assert.equal(scalars!.step, 5_000_000_000);
      assert.ok(Math.abs(scalars!.wallTime - Date.now() / 1000) < 600);
      assert.equal(rest.length, 0);
      const other = await EventFile.create(directory.path('plain'));
      await other.close();
      assert.notEqual(other.path, file.path);
      assert.match(file.path, /events\.out\.tfevents\.\d+\.[\w.-]+\.\d+\.\d+$/);
    });

    it('hold scalars and the confusion matrix of a run', async () => {
      const path = directory.path('board');
      const log = TensorBoardLog.at(path);
      for (const event of events) await log.report(event);
      await log.close();
      const [name, ...others] = await readdir(path);
      assert.deepEqual(others, []);
      const written = readEvents(join(path, name!));
      const steps = only(events, 'step');
      const read = written.filter(({ scalars }) => 'train/loss' in scalars);
      assert.equal(read.length, steps.length);
      steps.forEach(({ step, loss, learningRate, gradientNorm, accuracy }, i) => {
        assert.equal(read[i]!.step, step);
        const { scalars } = read[i]!;
        const expected = {
          loss,
          accuracy,
          learning_rate: learningRate,
          gradient_norm: gradientNorm,
        };
        for (const [tag, value] of Object.entries(expected)) {
          assert.equal(scalars[`train/${tag}`], Math.fround(value), tag);
        }
      });
      const epochs = only(events, 'epoch');
      const images = written.filter((event) => 'validation/confusion' in event.images);
      const figures = written.filter(({ scalars }) => 'validation/accuracy' in scalars);
      assert.equal(images.length, 2);
      for (const [i, { validation, step }] of epochs.entries()) {
        assert.equal(figures[i]!.step, step);
        assert.equal(figures[i]!.scalars['validation/accuracy'], Math.fround(validation!.accuracy));
        const image = images[i]!.images['validation/confusion']!;
        const { width, height, format } = await sharp(image.png).metadata();
        assert.deepEqual([format, width, height], ['png', image.width, image.height]);
        assert.equal(image.colorspace, 3);
        assert.deepEqual(image.png, Buffer.from((await drawConfusion(validation!)).png));
      }
    });

    it('draw each cell in the colour of its share', async () => {
      const classes = ['<a>', 'b & c', 'neutral'];
      const confusion = [
        [4, 0, 0],
        [1, 2, 1],
        [0, 0, 0],
      ];
      const { png, width } = await drawConfusion({ classes, confusion });
      const { data } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
      /** The corner of a cell, where no count is written. */
      const corner = (row: number, column: number): number[] => {
        const [x, y] = [110 + 48 * column + 3, 110 + 48 * row + 3];
        return [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
      };
      assert.deepEqual(corner(0, 0), [23, 78, 140]);
      assert.deepEqual(corner(0, 1), [247, 249, 252]);
      assert.deepEqual(corner(1, 1), [135, 164, 196]);
      assert.deepEqual(corner(1, 0), corner(1, 2));
      assert.deepEqual(corner(2, 2), [247, 249, 252]);
    });

    it('are read by TensorBoard itself', async function () {
      const python = '/usr/bin/python3';
      const imported = spawnSync(python, ['-c', 'import tensorboard']);
      if (imported.status !== 0) {
        console.log('      skipped: no tensorboard here');
        this.skip();
      }
      const path = directory.path('board');
      assert.ok(existsSync(path));
      const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]); events.Reload()
tags = events.Tags()
print(json.dumps({"scalars": {t: [[e.step, e.value] for e in events.Scalars(t)] for t in tags["scalars"]},
                  "images": {t: [[e.step, e.width, e.height] for e in events.Images(t)] for t in tags["images"]}}))`;
      const { stdout, stderr } = spawnSync(python, ['-c', script, path], { encoding: 'utf8' });
      const read = JSON.parse(stdout || `"${stderr}"`) as {
        scalars: Record<string, [number, number][]>;
        images: Record<string, [number, number, number][]>;
      };
      assert.deepEqual(
        read.scalars['train/loss'],
        only(events, 'step').map(({ step, loss }) => [step, Math.fround(loss)]),
      );
      assert.equal(read.images['validation/confusion']!.length, 2);
    });
  });

  it('are options of the command, kept by a resumed run', async () => {
    const [out, log] = [directory.path('command'), directory.path('command.csv')];
    const board = directory.path('command-board');
    const argv = [
      '--data',
      'synthetic:14',
      '--validation',
      'synthetic:7#valid',
      '--batch-size',
      '7',
    ];
    const rest = ['--size', '32', '--text', 'synthetic', '--epochs', '1', '--out', out];
    const { status, stderr } = await command(
      ...['train', ...argv, ...rest, '--log', log, '--tensorboard', board],
    );
    assert.equal(status, 0, stderr);
    assert.equal((await read(log)).length, 3);
    assert.equal((await readdir(board)).length, 1);
    assert.equal((await command('train', '--resume', out)).status, 0);
    assert.equal((await read(log)).length, 3);
    assert.equal((await readdir(board)).length, 2);
    const wrong = await command('train', ...argv, ...rest, '--log', 'log.txt');
    assert.match(wrong.stderr, /\.csv or \.jsonl.*ERR_INVALID_ARGUMENT/);
    const below = join(log, 'x');
    const bad = await command('train', ...argv, ...rest, '--tensorboard', below);
    assert.match(bad.stderr, /ERR_WRITE/);
  });
});
