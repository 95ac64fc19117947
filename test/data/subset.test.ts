import assert from 'node:assert/strict';
import { countClasses, fileDataset, type Dataset } from '../../lib/data/dataset.js';
import {
  alignClasses,
  limitDataset,
  selectClasses,
  stratifiedSplit,
  subset,
  withoutBrokenImages,
} from '../../lib/data/subset.js';
import { CountenanceError } from '../../lib/errors.js';
import { rejectsWith } from './data-support.js';

/** `counts[c]` images of class c, named by their number. */
function numbered(classes: string[], counts: number[], targets?: Float32Array): Dataset {
  const labels = counts.flatMap((count, label) => new Array<number>(count).fill(label));
  return fileDataset({
    name: 'numbered',
    classes,
    labels,
    files: labels.map((_, i) => `image ${i}`),
    targets,
    ...(targets && { targetKind: 'distribution' as const }),
  });
}

const names = (dataset: Dataset): string[] =>
  Array.from({ length: dataset.size }, (_, i) => dataset.describe(i));

describe('parts of a data set', () => {
  const dataset = numbered(['neutral', 'happy', 'fear'], [3, 4, 2]);

  it('class subsets are relabelled in the order asked for', async () => {
    const chosen = selectClasses(dataset, ['fear', 'neutral']);
    assert.deepEqual(chosen.classes, ['fear', 'neutral']);
    assert.deepEqual(countClasses(chosen), [2, 3]);
    assert.deepEqual(names(chosen), ['image 0', 'image 1', 'image 2', 'image 7', 'image 8']);
    assert.equal(chosen.neutral, 'neutral');
    assert.equal(selectClasses(dataset, ['fear', 'happy']).neutral, null);
    await rejectsWith(() => selectClasses(dataset, ['anger']), 'ERR_INVALID_ARGUMENT', 'anger');
    await rejectsWith(() => selectClasses(dataset, []), 'ERR_INVALID_ARGUMENT');
    await rejectsWith(() => selectClasses(dataset, ['fear', 'fear']), 'ERR_INVALID_ARGUMENT');
  });

  it('class subsets of soft targets sum to 1 again', () => {
    const soft = numbered(
      ['a', 'b', 'c'],
      [1, 1, 0],
      Float32Array.of(0.6, 0.2, 0.2, 0.25, 0.5, 0.25),
    );
    const chosen = selectClasses(soft, ['c', 'a']);
    assert.equal(chosen.size, 1);
    assert.deepEqual([...chosen.target(0)!], [Math.fround(0.25), Math.fround(0.75)]);
  });

  it('align with the classes of a model, also by their usual spellings', async () => {
    const model = ['surprise', 'happiness', 'fear', 'neutral'];
    const aligned = alignClasses(dataset, model);
    assert.deepEqual(aligned.classes, model);
    assert.deepEqual(countClasses(aligned), [0, 4, 2, 3]);
    assert.equal(aligned.neutral, 'neutral');
    assert.equal(alignClasses(dataset, ['neutral', 'happy', 'fear']), dataset);
    await rejectsWith(
      () => alignClasses(dataset, ['neutral', 'fear']),
      'ERR_DATASET_FORMAT',
      'happy',
    );
    const unused = numbered(['neutral', 'contempt'], [2, 0]);
    assert.deepEqual(countClasses(alignClasses(unused, model)), [0, 0, 0, 2]);
  });

  it('a validation split keeps the shares of the classes, and follows its seed', async () => {
    const large = numbered(['a', 'b', 'c', 'd'], [1000, 100, 3, 1]);
    const { train, validation } = await stratifiedSplit(large, 0.1, 5);
    assert.deepEqual(countClasses(validation), [100, 10, 1, 0]);
    assert.deepEqual(countClasses(train), [900, 90, 2, 1]);
    assert.deepEqual(new Set([...names(train), ...names(validation)]).size, large.size);
    const again = await stratifiedSplit(large, 0.1, 5);
    assert.deepEqual(names(again.validation), names(validation));
    const other = await stratifiedSplit(large, 0.1, 6);
    assert.notDeepEqual(names(other.validation), names(validation));
    for (const fraction of [0, 1, -1, NaN]) {
      await rejectsWith(stratifiedSplit(large, fraction, 0), 'ERR_INVALID_ARGUMENT', 'fraction');
    }
    await rejectsWith(stratifiedSplit(subset(large, []), 0.1, 0), 'ERR_DATASET_EMPTY');
  });

  it('a limit takes some images, in order', async () => {
    const limited = await limitDataset(dataset, 4, 1);
    assert.equal(limited.size, 4);
    assert.deepEqual(names(limited), [...names(limited)].sort());
    assert.equal(await limitDataset(dataset, 99), dataset);
    await rejectsWith(limitDataset(dataset, 0), 'ERR_INVALID_ARGUMENT', 'limit');
  });

  it('an index outside is an error', async () => {
    await rejectsWith(() => subset(dataset, [1]).label(1), 'ERR_INVALID_ARGUMENT', 'index');
  });

  it('labels outside the classes are an error that names the image', async () => {
    const build = (label: number): unknown =>
      fileDataset({ name: 'x', classes: ['a', 'b'], files: ['one.png'], labels: [label] });
    for (const label of [2, -1, 0.5, NaN]) {
      await rejectsWith(() => build(label), 'ERR_LABEL_RANGE', 'one.png');
    }
  });

  it('broken images can be left out, and are listed', async () => {
    const flaky: Dataset = {
      ...dataset,
      load: (index) =>
        index === 4
          ? Promise.reject(new CountenanceError('ERR_IMAGE_DECODE', 'broken'))
          : Promise.resolve({ data: new Uint8Array(3), width: 1, height: 1 }),
    };
    const { dataset: good, broken } = await withoutBrokenImages(flaky);
    assert.equal(good.size, 8);
    assert.deepEqual(
      broken.map(({ file, error }) => [file, error.code]),
      [['image 4', 'ERR_IMAGE_DECODE']],
    );
    assert.ok(!names(good).includes('image 4'));
    const aborting: Dataset = {
      ...dataset,
      load: () => Promise.reject(new CountenanceError('ERR_ABORTED', 'stop')),
    };
    await rejectsWith(withoutBrokenImages(aborting), 'ERR_ABORTED');
  });
});
