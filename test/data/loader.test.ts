import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Dataset, TargetKind } from '../../lib/data/dataset.js';
import {
  DataLoader,
  defaultCacheBytes,
  type Batch,
  type DataLoaderOptions,
} from '../../lib/data/loader.js';
import { CountenanceError } from '../../lib/errors.js';
import { ImageCache } from '../../lib/images/cache.js';
import { collect, rejectsWith } from './data-support.js';

interface Counted extends Dataset {
  loads: number;
  running: number;
  mostRunning: number;
}

/** Images of one pixel with their index as colour; loading takes at least one turn of the event loop. */
function countedDataset(size: number, targetKind: TargetKind = 'label', slow = 0): Counted {
  const dataset: Counted = {
    name: 'counted',
    classes: ['a', 'b', 'c'],
    neutral: null,
    size,
    targetKind,
    notes: [],
    loads: 0,
    running: 0,
    mostRunning: 0,
    label: (index) => index % 3,
    target: (index) =>
      targetKind === 'label'
        ? undefined
        : Float32Array.from(
            [0.5, 0.25, 0.25],
            (_, i, a = [0.5, 0.25, 0.25]) => a[(i + index) % 3]!,
          ),
    load: async (index) => {
      dataset.loads += 1;
      dataset.running += 1;
      dataset.mostRunning = Math.max(dataset.mostRunning, dataset.running);
      await delay(slow + (index % 3));
      dataset.running -= 1;
      return { data: new Uint8Array(3).fill(index), width: 1, height: 1 };
    },
    describe: (index) => `image ${index}`,
  };
  return dataset;
}

const loaderOf = (dataset: Dataset, options: Partial<DataLoaderOptions> = {}): DataLoader =>
  new DataLoader(dataset, { batchSize: 4, inputSize: 2, ...options });

/** Index of every image, read from its pixels, image by image. */
const pixels = (batch: Batch): number[] =>
  Array.from(batch.indices, (_, i) => {
    const image = batch.images.subarray(i * 12, (i + 1) * 12);
    assert.ok(image.every((value) => value === image[0]));
    return image[0]!;
  });

describe('DataLoader', () => {
  it('gives every image once, with its label, in the order of the data set', async () => {
    const loader = loaderOf(countedDataset(10));
    const batches = await collect(loader.epoch(0));
    assert.equal(loader.batchesPerEpoch, 3);
    assert.deepEqual(
      batches.map(({ indices }) => [...indices]),
      [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
      ],
    );
    assert.deepEqual(
      batches.map(({ position }) => position),
      [0, 4, 8],
    );
    for (const batch of batches) {
      assert.deepEqual(pixels(batch), [...batch.indices]);
      assert.deepEqual(
        [...batch.labels],
        [...batch.indices].map((index) => index % 3),
      );
      assert.equal(batch.targets, undefined);
    }
  });

  it('shuffles anew every epoch, by its seed, and can drop the last batch', async () => {
    const indices = async (seed: number, epoch: number): Promise<number[]> => {
      const loader = loaderOf(countedDataset(11), { shuffle: true, seed, dropLast: true });
      assert.equal(loader.batchesPerEpoch, 2);
      return (await collect(loader.epoch(epoch))).flatMap((batch) => [...batch.indices]);
    };
    const first = await indices(1, 0);
    assert.equal(first.length, 8);
    assert.equal(new Set(first).size, 8);
    assert.deepEqual(await indices(1, 0), first);
    assert.notDeepEqual(await indices(1, 1), first);
    assert.notDeepEqual(await indices(2, 0), first);
  });

  it('refuses to drop the only batch: the epoch would have no step', async () => {
    const options = { batchSize: 64, dropLast: true };
    await rejectsWith(
      () => loaderOf(countedDataset(10), options),
      'ERR_INVALID_ARGUMENT',
      'at most 10',
      'no dropLast',
      '64',
    );
    assert.equal(
      loaderOf(countedDataset(10), { batchSize: 10, dropLast: true }).batchesPerEpoch,
      1,
    );
    assert.equal(loaderOf(countedDataset(10), { batchSize: 64 }).batchesPerEpoch, 1);
  });

  it('gives the same batches when it starts in the middle of an epoch', async () => {
    for (const kind of ['label', 'distribution', 'drawn'] as const) {
      const options = { shuffle: true, seed: 3 };
      const whole = await collect(loaderOf(countedDataset(23, kind), options).epoch(4));
      const resumed = await collect(
        loaderOf(countedDataset(23, kind), options).epoch(4, { position: 8 }),
      );
      assert.deepEqual(resumed, whole.slice(2));
      assert.deepEqual(await collect(loaderOf(countedDataset(23)).epoch(0, { position: 23 })), []);
    }
  });

  it('hands out distributions, or one class drawn from them every epoch', async () => {
    const soft = await collect(loaderOf(countedDataset(5, 'distribution')).epoch(0));
    assert.deepEqual([...soft[0]!.targets!.subarray(0, 6)], [0.5, 0.25, 0.25, 0.25, 0.25, 0.5]);
    const loader = loaderOf(countedDataset(4, 'drawn'));
    const counts = [0, 0, 0];
    for (let epoch = 0; epoch < 800; epoch++) {
      for await (const { labels, targets } of loader.epoch(epoch)) {
        assert.equal(targets, undefined);
        counts[labels[0]!]! += 1;
      }
    }
    // Image 0 has 0.5, 0.25, 0.25; five standard errors of 800 draws are 0.088.
    assert.ok(
      Math.abs(counts[0]! / 800 - 0.5) < 0.088 && Math.abs(counts[1]! / 800 - 0.25) < 0.088,
      counts.join(),
    );
  });

  it('decodes each image once while the cache has room, and never more at a time than allowed', async () => {
    const dataset = countedDataset(30);
    const loader = loaderOf(dataset, { shuffle: true, concurrency: 3 });
    await collect(loader.epoch(0));
    const second = await collect(loader.epoch(1));
    assert.equal(dataset.loads, 30);
    assert.ok(dataset.mostRunning <= 3, String(dataset.mostRunning));
    for (const batch of second) assert.deepEqual(pixels(batch), [...batch.indices]);

    const half = countedDataset(30);
    const limited = loaderOf(half, { cacheBytes: 15 * 12 });
    await collect(limited.epoch(0));
    await collect(limited.epoch(1));
    assert.equal(half.loads, 30 + 15);
    assert.equal(limited.cache.size, 15);
  });

  it('prepares batches ahead while the caller works, but not the whole epoch', async () => {
    const dataset = countedDataset(40);
    const batches = loaderOf(dataset, { prefetch: 2 }).epoch(0);
    await batches.next();
    await delay(60);
    assert.ok(dataset.loads >= 8 && dataset.loads <= 12, String(dataset.loads));
    await batches.return();
  });

  it('stops decoding when the caller leaves', async () => {
    const dataset = countedDataset(400);
    const batches = loaderOf(dataset, { prefetch: 50, concurrency: 2 }).epoch(0);
    for await (const { position } of batches) if (position >= 0) break;
    const loads = dataset.loads;
    await delay(30);
    assert.equal(dataset.loads, loads);
    assert.equal(dataset.running, 0);
  });

  it('stops when aborted, before and in between', async () => {
    const dataset = countedDataset(40);
    await rejectsWith(
      collect(loaderOf(dataset).epoch(0, { signal: AbortSignal.abort() })),
      'ERR_ABORTED',
    );
    assert.equal(dataset.loads, 0);
    const controller = new AbortController();
    const work = (async () => {
      for await (const { position } of loaderOf(dataset).epoch(0, { signal: controller.signal })) {
        if (position === 8) controller.abort(new Error('enough'));
      }
    })();
    await rejectsWith(work, 'ERR_ABORTED');
    assert.equal(dataset.running, 0);
    assert.ok(dataset.loads < 40);
  });

  it('passes the error of a broken image on, which names it', async () => {
    const dataset = countedDataset(12);
    const broken: Dataset = {
      ...dataset,
      load: (index, signal) =>
        index === 6
          ? Promise.reject(new CountenanceError('ERR_IMAGE_DECODE', "Image 'six.png' is broken"))
          : dataset.load(index, signal),
    };
    const seen: number[] = [];
    const work = (async () => {
      for await (const { position } of loaderOf(broken).epoch(0)) seen.push(position);
    })();
    await rejectsWith(work, 'ERR_IMAGE_DECODE', 'six.png');
    assert.deepEqual(seen, [0]); // the batch before it still came
    const foreign = { ...dataset, load: () => Promise.reject(new Error('no memory')) };
    const ofForeign = loaderOf(foreign).epoch(0);
    await rejectsWith(collect(ofForeign), 'ERR_INTERNAL', 'image 0', 'no memory');
    for (const side of [1, 2]) {
      const image = { data: new Uint8Array(5), width: side, height: side };
      const short = loaderOf({ ...dataset, load: async () => image }).epoch(0);
      await rejectsWith(collect(short), 'ERR_SHAPE_MISMATCH', 'image 0', 'received 5');
    }
  });

  it('checks its options', async () => {
    const dataset = countedDataset(3);
    for (const [name, value] of [
      ['batchSize', 0],
      ['inputSize', 0],
      ['seed', -1],
      ['prefetch', 0],
      ['concurrency', 1.5],
    ] as const) {
      await rejectsWith(() => loaderOf(dataset, { [name]: value }), 'ERR_INVALID_ARGUMENT', name);
    }
    await rejectsWith(collect(loaderOf(dataset).epoch(-1)), 'ERR_INVALID_ARGUMENT', 'epoch');
    await rejectsWith(
      collect(loaderOf(dataset).epoch(0, { position: -1 })),
      'ERR_INVALID_ARGUMENT',
      'position',
    );
    assert.ok(defaultCacheBytes() > 0 && defaultCacheBytes() <= 8 * 2 ** 30);
  });
});

describe('ImageCache', () => {
  it('fills until its limit and then keeps what it has', () => {
    const cache = new ImageCache(3, 2 * 3 + 2);
    assert.equal(cache.capacity, 2);
    for (let i = 0; i < 4; i++) cache.put(i, new Uint8Array(3).fill(i + 1));
    assert.deepEqual([...cache.get(0)!], [1, 1, 1]);
    assert.deepEqual([...cache.get(1)!], [2, 2, 2]);
    assert.equal(cache.get(2), undefined);
    assert.deepEqual(cache.statistics, { hits: 2, misses: 1 });
    cache.clear();
    assert.equal(cache.size, 0);
    assert.equal(cache.get(0), undefined);
  });

  it('keeps copies, over more than one block of memory', () => {
    const cache = new ImageCache(1, 1000);
    const image = new Uint8Array(1);
    for (let i = 0; i < 1000; i++) {
      image[0] = i;
      cache.put(i, image);
    }
    for (let i = 0; i < 1000; i++) assert.equal(cache.get(i)![0], i & 255);
    assert.equal(new ImageCache(3, 0).capacity, 0);
  });
});
