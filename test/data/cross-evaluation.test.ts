import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describeMapping, shareClasses } from '../../lib/data/shared-classes.js';
import type { Model } from '../../lib/index.js';
import { evaluate, Predictor, type Dataset } from '../../lib/index.js';
import { subset } from '../../lib/data/index.js';
import { resizeImage } from '../../lib/images/resize.js';
import { faces, makeModel, mirror, side } from '../api-support.js';
import { command, jsonLines } from '../cli/support.js';
import { rejectsWith, temporaryDirectory } from './data-support.js';
import { writeFace } from './synthetic-files.js';

/** Drawn faces under other names: fear is called contempt, and disgust is missing. */
const renames: Readonly<Record<string, string>> = {
  happiness: 'Happy',
  anger: 'angry',
  fear: 'contempt',
};

function foreign(count: number): Dataset {
  const own = faces(count, 2);
  const kept = Array.from({ length: count }, (_, i) => i).filter(
    (i) => own.classes[own.label(i)] !== 'disgust',
  );
  const part = subset(own, kept, 'foreign');
  const classes = own.classes
    .filter((name) => name !== 'disgust')
    .map((name) => renames[name] ?? name)
    .reverse();
  const label = (index: number): number => {
    const name = own.classes[part.label(index)]!;
    return classes.indexOf(renames[name] ?? name);
  };
  return { ...part, classes, label };
}

describe('evaluation on other data sets', function () {
  this.timeout(120_000);
  const temporary = temporaryDirectory();
  let model: Model;
  before(async () => {
    model = await makeModel();
  });
  after(() => model.close());

  /** Logits of each image of a data set, one after the other. */
  async function logitsOf(dataset: Dataset, mirrored = false): Promise<Float32Array[]> {
    const rows: Float32Array[] = [];
    for (let i = 0; i < dataset.size; i++) {
      const image = await resizeImage(await dataset.load(i), side);
      const images = mirrored ? mirror(image) : image;
      rows.push((await model.forward({ images })).logits.data);
    }
    return rows;
  }

  const best = (row: Float32Array, among: readonly number[]): number =>
    among.reduce((most, k) => (row[k]! > row[most]! ? k : most), among[0]!);

  it('matches classes by name and uses the shared ones', async () => {
    const dataset = foreign(42);
    const rows = await logitsOf(dataset);
    const { classes } = model.config;
    const shared = ['surprise', 'happiness', 'sadness', 'anger', 'neutral'];
    const columns = shared.map((name) => classes.indexOf(name));
    const metrics = await evaluate(model, dataset, { batchSize: 5 });
    assert.deepEqual(metrics.mapping, {
      shared: [
        { data: 'neutral', model: 'neutral' },
        { data: 'angry', model: 'anger' },
        { data: 'sadness', model: 'sadness' },
        { data: 'Happy', model: 'happiness' },
        { data: 'surprise', model: 'surprise' },
      ],
      onlyInData: { contempt: 6 },
      onlyInModel: ['fear', 'disgust'],
    });
    assert.deepEqual(metrics.classes, shared);
    assert.equal(metrics.count, 30);
    const confusion = shared.map(() => shared.map(() => 0));
    const all = classes.map(() => classes.map(() => 0));
    for (const [i, row] of rows.entries()) {
      const label = classes.indexOf(shareName(dataset.classes[dataset.label(i)]!));
      if (label < 0) continue;
      confusion[columns.indexOf(label)]![columns.indexOf(best(row, columns))]! += 1;
      all[label]![
        best(
          row,
          classes.map((_, k) => k),
        )
      ]! += 1;
    }
    assert.deepEqual(metrics.confusion, confusion);

    const free = await evaluate(model, dataset, { among: 'all' });
    assert.deepEqual(free.classes, classes);
    assert.deepEqual(free.confusion, all);
  });

  function shareName(name: string): string {
    return { angry: 'anger', Happy: 'happiness' }[name] ?? name;
  }

  it('has nothing to tell where the classes are the same', async () => {
    assert.ok(!('mapping' in (await evaluate(model, faces(7)))));
    const reversed = [...faces(1).classes].reverse();
    assert.equal(shareClasses(faces(7), reversed).mapping, null);
    const { mapping } = shareClasses(foreign(7), faces(1).classes);
    assert.deepEqual(describeMapping(mapping!), [
      '5 classes shared with the model: neutral, angry is anger, sadness, Happy is happiness, surprise',
      'left out, not known to the model: contempt (1 images)',
      'classes of the model not in the data set: fear, disgust',
    ]);
  });

  it('refuses what has no two classes in common, and wrong options', async () => {
    const strange = { ...faces(7), classes: ['a', 'b', 'c', 'd', 'e', 'f', 'neutral'] };
    await rejectsWith(evaluate(model, strange), 'ERR_DATASET_FORMAT', 'fewer than two', 'a, b');
    const bad = (options: object, part: string): Promise<unknown> =>
      rejectsWith(evaluate(model, faces(7), options), 'ERR_INVALID_ARGUMENT', part);
    await bad({ among: 'some' }, 'among');
    await bad({ flip: 1 }, 'flip');
    const only = foreign(42);
    const contempt = Array.from({ length: only.size }, (_, i) => i).filter(
      (i) => only.classes[only.label(i)] === 'contempt',
    );
    await rejectsWith(evaluate(model, subset(only, contempt)), 'ERR_DATASET_EMPTY', 'foreign');
  });

  describe('test-time flip', () => {
    it('averages logits in evaluation', async () => {
      const dataset = faces(28, 1);
      const [rows, mirrored] = [await logitsOf(dataset), await logitsOf(dataset, true)];
      const every = dataset.classes.map((_, k) => k);
      const confusion = every.map(() => every.map(() => 0));
      rows.forEach((row, i) => {
        const mean = row.map((value, k) => (value + mirrored[i]![k]!) / 2);
        confusion[dataset.label(i)]![best(mean, every)]! += 1;
      });
      const metrics = await evaluate(model, dataset, { flip: true, batchSize: 9 });
      assert.deepEqual(metrics.confusion, confusion);
    });

    it('averages logits in prediction, and keeps the representations', async () => {
      const file = temporary.path('face.png');
      await writeFace(file, 'happiness', 3);
      const [one, mirrored] = [new Predictor(model), new Predictor(model, { flip: true })];
      assert.deepEqual([one.flip, mirrored.flip], [false, true]);
      const { width, height, data } = await faces(9).load(8);
      const image = await resizeImage({ width, height, data }, side);
      const flipped = mirror(image);
      const pixels = (bytes: Uint8Array) => ({ data: bytes, width: side, height: side });
      const [a, b] = await one.predict([pixels(image), pixels(flipped)]);
      const both = await mirrored.predict(pixels(image));
      // The mean of logits is the geometric mean of probabilities, scaled to a sum of 1.
      const roots = Object.keys(a!.scores).map((k) => Math.sqrt(a!.scores[k]! * b!.scores[k]!));
      const sum = roots.reduce((total, value) => total + value, 0);
      Object.values(both.scores).forEach((score, k) => {
        assert.ok(Math.abs(score - roots[k]! / sum) < 1e-4, `${score} ${roots[k]! / sum}`);
      });
      assert.ok(Math.abs(both.intensity - a!.intensity) < 1e-5);
      const same = await mirrored.predict(pixels(flipped));
      for (const [k, score] of Object.entries(same.scores)) {
        assert.ok(Math.abs(score - both.scores[k]!) < 1e-5, 'flipping changes nothing');
      }
      await rejectsWith(
        () => new Predictor(model, { flip: 'yes' as unknown as boolean }),
        'ERR_INVALID_ARGUMENT',
        'flip',
      );
    });
  });

  it('is told on the command line, in JSON and in the report', async () => {
    const directory = temporary.path('model');
    await model.save(directory);
    const [folder, report] = [temporary.path('faces'), temporary.path('report.html')];
    for (const [i, name] of ['happy', 'Angry', 'contempt', 'neutral'].entries()) {
      await writeFace(temporary.path('faces', name, 'a.png'), 'fear', i);
    }
    const argv = ['evaluate', '--model', directory, '--data', `folder:${folder}`];
    const people = await command(...argv, '--report', report);
    assert.equal(people.status, 0, people.stderr);
    assert.match(
      people.stdout,
      /3 classes shared with the model: Angry is anger, happy is happiness, neutral\n/,
    );
    assert.match(people.stdout, /left out, not known to the model: contempt \(1 images\)/);
    assert.match(people.stdout, /on 3 images/);
    const page = await readFile(report, 'utf8');
    assert.ok(page.includes('Angry is anger') && page.includes('contempt (1 images)'));

    const json = await command(...argv, '--among', 'all', '--flip', '--json');
    const [record] = jsonLines(json.stdout);
    const expected = await evaluate(model, `folder:${folder}`, { among: 'all', flip: true });
    assert.deepEqual(record, JSON.parse(JSON.stringify(expected)));
    assert.equal((await command(...argv, '--among', 'some')).status, 2);
    await writeFace(temporary.path('face.png'), 'happiness', 3);
    const predict = ['predict', '--model', directory, '--json', temporary.path('face.png')];
    const plain = jsonLines((await command(...predict)).stdout)[0]!;
    const flipped = jsonLines((await command(...predict, '--flip')).stdout)[0]!;
    assert.notDeepEqual(plain['scores'], flipped['scores']);
    assert.equal(plain['file'], flipped['file']);
  });
});
