import assert from 'node:assert/strict';
import { syntheticDataset } from '../../lib/data/formats/synthetic.js';
import { Model } from '../../lib/model/model.js';
import { toPrediction } from '../../lib/predict/prediction.js';
import { Predictor } from '../../lib/predict/predictor.js';
import { syntheticTextEmbeddings } from '../../lib/text/synthetic.js';
import type { RawImage } from '../../lib/types.js';
import { collect, rejectsWith } from '../data/data-support.js';

describe('topK', () => {
  let predictor: Predictor;
  let images: RawImage[];

  before(async () => {
    const model = await Model.create({
      backbone: 'resnet18',
      inputSize: 32,
      textEmbeddings: syntheticTextEmbeddings(['happiness', 'anger', 'fear', 'neutral']),
    });
    predictor = new Predictor(model, { batchSize: 4 });
    const dataset = syntheticDataset(5);
    images = await Promise.all(Array.from({ length: 5 }, (_, i) => dataset.load(i)));
  });
  after(() => predictor.model.close());

  it('ranks the classes, equal ones in their order', () => {
    const embedding = { expression: Float32Array.of(1, 0), neutral: Float32Array.of(0, 1) };
    const logits = Float32Array.of(1, 2, 1, 2);
    const all = toPrediction(logits, embedding, ['a', 'b', 'c', 'd'], 4);
    assert.deepEqual(
      all.top?.map(({ label }) => label),
      ['b', 'd', 'a', 'c'],
    );
    for (const { label, score } of all.top) assert.equal(score, all.scores[label]);
    assert.deepEqual(toPrediction(logits, embedding, ['a', 'b', 'c', 'd'], 1).top, [
      { label: all.label, score: all.score },
    ]);
  });

  it('is taken for one image, for several and for a stream', async () => {
    const plain = await predictor.predict(images[0]!);
    assert.ok(!('top' in plain));
    const { top, ...rest } = await predictor.predict(images[0]!, { topK: 3 });
    assert.deepEqual(rest, plain);
    const sorted = Object.entries(plain.scores).sort(([, a], [, b]) => b - a);
    assert.deepEqual(
      top,
      sorted.slice(0, 3).map(([label, score]) => ({ label, score })),
    );
    const many = await predictor.predict(images.slice(0, 5), { topK: 1 });
    for (const { label, score, top: best } of many) assert.deepEqual(best, [{ label, score }]);
    const streamed = await collect(predictor.predictStream(images.slice(0, 5), { topK: 4 }));
    assert.ok(streamed.every((prediction) => prediction.top.length === 4));
    const other = predictor.withClasses(syntheticTextEmbeddings(['joy', 'neutral']));
    assert.equal((await other.predict(images[0]!, { topK: 2 })).top.length, 2);
  });

  it('is an integer from 1 to the number of classes', async () => {
    for (const topK of [0, 5, 1.5, NaN, '2' as unknown as number]) {
      const wrong = ['ERR_INVALID_ARGUMENT', 'topK', 'from 1 to 4'] as const;
      await rejectsWith(predictor.predict(images[0]!, { topK }), ...wrong);
      await rejectsWith(collect(predictor.predictStream(images, { topK })), ...wrong);
    }
  });
});
