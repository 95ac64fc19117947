import assert from 'node:assert/strict';
import type * as tfjs from '@tensorflow/tfjs-core';
import { Predictor, type Model } from '../../lib/index.js';
import { makeModel, noise, side } from '../api-support.js';
import { peer } from './support.js';

describe('tensors of @tensorflow/tfjs', function () {
  this.timeout(120_000);
  let tf: typeof tfjs;
  let model: Model;
  const bytes = noise(2);

  before(async () => {
    tf = peer('@tensorflow/tfjs') as typeof tfjs;
    await tf.setBackend('cpu');
    model = await makeModel();
  });
  after(() => model.close());

  it('go in as pictures, and stay their owner’s', async () => {
    const predictor = new Predictor(model);
    const one = bytes.subarray(0, side * side * 3);
    const expected = await predictor.predict({ data: one, width: side, height: side });
    const whole = tf.tensor3d(Int32Array.from(one), [side, side, 3], 'int32');
    const floats = tf.cast(whole, 'float32');
    const batchOfOne = tf.expandDims(floats, 0);
    for (const tensor of [whole, floats, batchOfOne]) {
      assert.deepEqual(await predictor.predict(tensor), expected);
      assert.equal(tensor.isDisposed, false);
    }
    const parts = tf.unstack(tf.tensor4d(Int32Array.from(bytes), [2, side, side, 3], 'int32'));
    const many = await predictor.predict(parts as tfjs.Tensor3D[]);
    assert.equal(many.length, 2);
    assert.ok(Math.abs(many[0]!.score - expected.score) < 1e-4);
  });

  it('go in as batches, and what comes out makes tensors', async () => {
    const images = tf.tensor4d(Int32Array.from(bytes), [2, side, side, 3], 'int32');
    const { logits, expression } = await model.forward({ images });
    const expected = await model.forward({ images: bytes });
    assert.deepEqual(logits, expected.logits);
    const tensor = tf.tensor(logits.data, [...logits.shape]);
    assert.deepEqual(tensor.shape, [2, 7]);
    const probabilities = (await tf.softmax(tensor).array()) as number[][];
    const predictor = new Predictor(model);
    const one = bytes.slice(0, side * side * 3);
    const { scores } = await predictor.predict({ data: one, width: side, height: side });
    Object.values(scores).forEach((score, k) => {
      assert.ok(Math.abs(score - probabilities[0]![k]!) < 1e-4, `class ${k}`);
    });
    assert.deepEqual(tf.tensor(expression.data, [...expression.shape]).shape, [2, 512]);

    // (x / 255 - mean) / std computed by TensorFlow.js equals our own preparation.
    const { imageMean, imageStd } = model.config;
    const scaled = tf.div(tf.cast(images, 'float32'), 255);
    const normalised = tf.div<tfjs.Tensor4D>(tf.sub(scaled, [...imageMean]), [...imageStd]);
    const outputs = await model.forward({ images: normalised });
    outputs.logits.data.forEach((value, i) => {
      assert.ok(Math.abs(value - logits.data[i]!) < 1e-3, `logit ${i}`);
    });
  });
});
