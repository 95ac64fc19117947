import assert from 'node:assert/strict';
import { countClasses } from '../../lib/data/dataset.js';
import { rafdbClasses } from '../../lib/data/classes.js';
import { drawFace } from '../../lib/data/synthetic/face.js';
import { openDataset } from '../../lib/data/registry.js';
import { rejectsWith } from './data-support.js';

describe('synthetic faces', () => {
  it('have the seven classes of the paper, equally many of each', async () => {
    const dataset = await openDataset('synthetic:280#test');
    assert.deepEqual(dataset.classes, [...rafdbClasses]);
    assert.equal(dataset.neutral, 'neutral');
    assert.deepEqual(countClasses(dataset), new Array(7).fill(40));
  });

  it('are always the same, in every order, whatever the size of the set', async () => {
    const small = await openDataset('synthetic:20');
    const large = await openDataset('synthetic:1000#train');
    const forwards = await Promise.all([0, 1, 2].map((i) => small.load(i)));
    const backwards = [await large.load(2), await large.load(1), await large.load(0)].reverse();
    assert.deepEqual(forwards, backwards);
  });

  it('differ between indices, seeds and splits', () => {
    const texts = new Set<string>();
    for (let index = 0; index < 40; index++) {
      for (const [seed, split] of [
        [0, 0],
        [0, 1],
        [0, 2],
        [1, 0],
      ] as const) {
        texts.add(drawFace('fear', seed, split, index).svg);
      }
    }
    assert.equal(texts.size, 160);
  });

  it('show the same person, light and background whatever the expression', () => {
    const backgroundOf = (svg: string): string => svg.slice(0, svg.indexOf('<g transform'));
    const happy = drawFace('happiness', 0, 0, 5);
    const angry = drawFace('anger', 0, 0, 5);
    assert.notEqual(happy.svg, angry.svg);
    assert.equal(happy.side, angry.side);
    assert.equal(happy.noise, angry.noise);
    assert.equal(backgroundOf(happy.svg), backgroundOf(angry.svg));
  });

  it('cannot be told apart by their mean colour', async () => {
    // Nearest class mean in RGB, trained and tested on different faces: close to 1 in 7.
    const dataset = await openDataset('synthetic:560');
    const means: number[][] = [];
    for (let i = 0; i < dataset.size; i++) {
      const { data } = await dataset.load(i);
      const sums = [0, 0, 0];
      for (let k = 0; k < data.length; k++) sums[k % 3]! += data[k]!;
      means.push(sums.map((sum) => (sum * 3) / data.length));
    }
    const half = dataset.size / 2;
    const centres = rafdbClasses.map((_, c) =>
      [0, 1, 2].map((channel) => {
        const own = means.slice(0, half).filter((_, i) => dataset.label(i) === c);
        return own.reduce((sum, mean) => sum + mean[channel]!, 0) / own.length;
      }),
    );
    const distance = (a: number[], b: number[]): number =>
      a.reduce((sum, value, channel) => sum + (value - b[channel]!) ** 2, 0);
    let right = 0;
    for (let i = half; i < dataset.size; i++) {
      const distances = centres.map((centre) => distance(centre, means[i]!));
      if (distances.indexOf(Math.min(...distances)) === dataset.label(i)) right += 1;
    }
    // Chance is 0.143 with a deviation of 0.021 on 280 faces.
    assert.ok(right / half < 0.25, `${right} of ${half}`);
  }).timeout(60_000);

  it('vary in size, noise and colour, and stay within their bounds', async () => {
    const drawn = Array.from({ length: 300 }, (_, i) => drawFace('neutral', 0, 0, i));
    const sides = new Set(drawn.map(({ side }) => side));
    assert.ok(sides.size > 30 && Math.min(...sides) >= 72 && Math.max(...sides) <= 120);
    assert.ok(drawn.some(({ gray }) => gray) && drawn.some(({ gray }) => !gray));
    assert.ok(drawn.every(({ noise }) => noise >= 0 && noise < 12));
    assert.ok(drawn.every(({ svg }) => !/NaN|undefined|Infinity/.test(svg)));
    const dataset = await openDataset('synthetic:7');
    for (let i = 0; i < 7; i++) {
      const { data, width, height } = await dataset.load(i);
      assert.equal(data.length, width * height * 3);
      const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
      assert.ok(mean > 25 && mean < 240, `face ${i} is neither black nor white: ${mean}`);
    }
  });

  it('take a split or a seed', async () => {
    const svg = async (spec: string): Promise<Uint8Array> =>
      (await (await openDataset(spec)).load(3)).data;
    assert.deepEqual(await svg('synthetic:9#valid'), await svg('synthetic:9#validation'));
    assert.deepEqual(await svg('synthetic:9#7'), await svg('synthetic:9#train,seed=7'));
    assert.notDeepEqual(await svg('synthetic:9#7'), await svg('synthetic:9#test,seed=7'));
    await rejectsWith(openDataset('synthetic:many'), 'ERR_DATASET_FORMAT', 'many');
    await rejectsWith(openDataset('synthetic:0'), 'ERR_DATASET_FORMAT', '0');
    await rejectsWith(openDataset('synthetic:9#toString'), 'ERR_DATASET_FORMAT', 'toString');
    await rejectsWith(openDataset('synthetic:9#dev'), 'ERR_DATASET_FORMAT', "'dev'", 'train');
    await rejectsWith(openDataset('synthetic:9#train,seed=x'), 'ERR_DATASET_FORMAT', 'seed');
  });
});
