import assert from 'node:assert/strict';
import { fileDataset, type Dataset, type TargetKind } from '../../lib/data/dataset.js';
import { DataLoader, type Batch } from '../../lib/data/loader.js';
import { mixDatasets } from '../../lib/data/mix.js';
import { classShares, drawEpoch, weightsOf } from '../../lib/data/sampling.js';
import { collect, rejectsWith } from './data-support.js';

/** `counts[c]` images of class c. */
function numbered(classes: string[], counts: number[], name = 'numbered'): Dataset {
  const labels = counts.flatMap((count, label) => new Array<number>(count).fill(label));
  const files = labels.map((_, i) => `${name} ${i}`);
  return {
    ...fileDataset({ name, classes, labels, files }),
    load: async (index) => ({ data: Uint8Array.of(index, 0, 0), width: 1, height: 1 }),
  };
}

const counted = (values: Iterable<number>, size: number): number[] => {
  const counts = new Array<number>(size).fill(0);
  for (const value of values) counts[value]! += 1;
  return counts;
};

describe('sampling', () => {
  const dataset = numbered(['a', 'b', 'c'], [90, 9, 1]);

  it('balances classes: each as often, and the images of a class as often as each other', async () => {
    const shares = classShares(dataset, 'balanced', [1, 1, 1]);
    assert.deepEqual(shares, [1 / 3, 1 / 3, 1 / 3]);
    const totals = [0, 0, 0];
    for (let epoch = 0; epoch < 60; epoch++) {
      const { indices, draws } = await drawEpoch(dataset, shares, 5, epoch);
      assert.equal(indices.length, 100);
      assert.equal(new Set(draws).size, 100, 'no draw comes twice');
      indices.forEach((index, i) => assert.equal(draws[i]! % 100, index));
      const byImage = counted(indices, 100);
      for (const part of [byImage.slice(0, 90), byImage.slice(90, 99)]) {
        assert.ok(Math.max(...part) - Math.min(...part) <= 1, part.join());
      }
      const byClass = counted(
        [...indices].map((index) => dataset.label(index)),
        3,
      );
      for (const [label, count] of byClass.entries()) {
        assert.ok(count === 33 || count === 34);
        totals[label]! += count;
      }
    }
    // 60 epochs of 33 1/3 draws; the deviation of one is 0.47, of the sum 3.7.
    for (const total of totals) assert.ok(Math.abs(total - 2000) < 15, totals.join());
  });

  it('weighs classes against what they were', async () => {
    const shares = classShares(dataset, 'shuffle', [1, 5, 20]);
    const sum = 90 + 45 + 20;
    assert.deepEqual(shares, [90 / sum, 45 / sum, 20 / sum]);
    assert.deepEqual(classShares(dataset, 'balanced', [1, 1, 2]), [0.25, 0.25, 0.5]);
    assert.deepEqual(classShares(numbered(['a', 'b'], [2, 0]), 'balanced', [1, 9]), [1, 0]);
    const { indices } = await drawEpoch(dataset, shares, 5, 0);
    const byClass = counted(
      [...indices].map((index) => dataset.label(index)),
      3,
    );
    shares.forEach((share, i) => assert.ok(Math.abs(byClass[i]! - 100 * share) < 1));
    // Equal shares of what is there: each image once, as without sampling.
    const plain = await drawEpoch(dataset, classShares(dataset, 'shuffle', [1, 1, 1]), 5, 3);
    assert.deepEqual([...plain.indices].sort(byValue), [...new Array(100).keys()]);
    assert.deepEqual(plain.draws, plain.indices);
  });

  it('depends on seed and epoch alone', async () => {
    const shares = classShares(dataset, 'balanced', [1, 1, 1]);
    const draw = (seed: number, epoch: number) => drawEpoch(dataset, shares, seed, epoch);
    assert.deepEqual(await draw(1, 2), await draw(1, 2));
    assert.notDeepEqual((await draw(1, 2)).indices, (await draw(1, 3)).indices);
    assert.notDeepEqual((await draw(1, 2)).indices, (await draw(2, 2)).indices);
  });

  it('gives batches that go on in the middle of an epoch', async () => {
    const options = { batchSize: 8, inputSize: 1, shuffle: true, seed: 3 };
    const shares = classShares(dataset, 'balanced', [1, 1, 1]);
    const loader = new DataLoader(dataset, { ...options, shares });
    const all = await collect(loader.epoch(4));
    const order = await drawEpoch(dataset, shares, 3, 4);
    const joined = (field: (batch: Batch) => Uint32Array): number[] =>
      all.flatMap((batch) => [...field(batch)]);
    assert.deepEqual(
      joined(({ indices }) => indices),
      [...order.indices],
    );
    assert.deepEqual(
      joined(({ draws }) => draws),
      [...order.draws],
    );
    assert.deepEqual(await collect(loader.epoch(4, { position: 40 })), all.slice(5));
    for (const { indices, labels, images } of all) {
      indices.forEach((index, i) => {
        assert.deepEqual([labels[i], images[3 * i]], [dataset.label(index), index]);
      });
    }
    const plain = await collect(new DataLoader(dataset, options).epoch(4));
    for (const { indices, draws } of plain) assert.deepEqual(indices, draws);
  });

  it('draws another label each time an image comes again', async () => {
    const soft = numbered(['a', 'b'], [1, 40]);
    const half: Dataset = {
      ...soft,
      targetKind: 'drawn',
      target: () => Float32Array.of(0.5, 0.5),
    };
    const shares = classShares(half, 'balanced', [1, 1]);
    const options = { batchSize: 41, inputSize: 1, shuffle: true, shares };
    const [batch] = await collect(new DataLoader(half, options).epoch(0));
    const labels = [...batch!.labels].filter((_, i) => batch!.indices[i] === 0);
    assert.ok(labels.length >= 20);
    assert.equal(new Set(labels).size, 2);
  });

  it('takes weights by the names of classes', async () => {
    const classes = ['happiness', 'fear', 'neutral'];
    assert.deepEqual(weightsOf({ happy: 2, neutral: 0.5 }, classes), [2, 1, 0.5]);
    for (const value of [0, -1, NaN, Infinity]) {
      await rejectsWith(
        () => weightsOf({ fear: value }, classes),
        'ERR_INVALID_ARGUMENT',
        'classWeights.fear',
      );
    }
    await rejectsWith(() => weightsOf({ joyless: 1 }, classes), 'ERR_INVALID_ARGUMENT', 'joyless');
  });
});

describe('mixing data sets', () => {
  const first = numbered(['neutral', 'happy'], [2, 1], 'first');
  const second = numbered(['fear', 'Happiness', 'neutral'], [1, 2, 1], 'second');

  it('goes by the names of the classes, image after image', async () => {
    const mixed = mixDatasets([first, second]);
    assert.equal(mixed.name, 'first + second');
    assert.deepEqual(mixed.classes, ['neutral', 'happy', 'fear']);
    assert.deepEqual([mixed.neutral, mixed.size, mixed.targetKind], ['neutral', 7, 'label']);
    const labels = Array.from({ length: 7 }, (_, i) => mixed.label(i));
    assert.deepEqual(labels, [0, 0, 1, 2, 1, 1, 0]);
    assert.deepEqual([mixed.describe(2), mixed.describe(3)], ['first 2', 'second 0']);
    assert.equal((await mixed.load(4)).data[0], 1);
    assert.equal(mixed.target(0), undefined);
    assert.equal(mixDatasets([first]), first);
    const notes = mixDatasets([{ ...first, notes: ['2 images were left out'] }, second]).notes;
    assert.deepEqual(notes, ['first: 2 images were left out']);
  });

  it('makes plain labels certain beside soft ones', async () => {
    const soft = (targetKind: TargetKind, name: string): Dataset => ({
      ...numbered(['neutral', 'fear'], [1, 0], name),
      targetKind,
      target: () => Float32Array.of(0.75, 0.25),
    });
    const mixed = mixDatasets([first, soft('distribution', 'soft')]);
    assert.equal(mixed.targetKind, 'distribution');
    assert.deepEqual([...mixed.target(2)!], [0, 1, 0]);
    assert.deepEqual([...mixed.target(3)!], [0.75, 0, 0.25]);
    assert.equal(mixDatasets([first, soft('drawn', 'drawn')]).targetKind, 'drawn');
    await rejectsWith(
      () => mixDatasets([soft('distribution', 'one'), soft('drawn', 'two')]),
      'ERR_DATASET_FORMAT',
      'one + two',
    );
    await rejectsWith(() => mixDatasets([]), 'ERR_DATASET_EMPTY');
  });
});

function byValue(a: number, b: number): number {
  return a - b;
}
