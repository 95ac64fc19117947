import assert from 'node:assert/strict';
import { ConfusionMatrix } from '../lib/metrics.js';
import { rejectsWith } from './data/data-support.js';

const close = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) < 1e-12, `${actual} is not ${expected}`);

describe('metrics', () => {
  it('follow scikit-learn on the example of its documentation', () => {
    // balanced_accuracy_score and f1_score document y_true, y_pred = [0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1].
    const confusion = new ConfusionMatrix(['a', 'b', 'c']);
    confusion.addAll([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1]);
    const metrics = confusion.metrics();
    assert.deepEqual(metrics.confusion, [
      [2, 0, 0],
      [1, 0, 1],
      [0, 2, 0],
    ]);
    close(metrics.accuracy, 2 / 6);
    close(metrics.meanClassAccuracy, (1 + 0 + 0) / 3);
    close(metrics.macroF1, 0.8 / 3); // 0.26 in the documentation
    assert.deepEqual(metrics.perClass['a'], {
      support: 2,
      predicted: 3,
      recall: 1,
      precision: 2 / 3,
      f1: 0.8,
    });
    assert.deepEqual(metrics.perClass['b'], {
      support: 2,
      predicted: 2,
      recall: 0,
      precision: 0,
      f1: 0,
    });
    assert.equal(metrics.count, 6);
  });

  it('know agreement beyond chance', () => {
    // The example of scikit-learn's cohen_kappa_score: negative, positive, neutral.
    const confusion = new ConfusionMatrix(['negative', 'positive', 'neutral']);
    confusion.addAll([0, 1, 0, 2, 1], [0, 1, 0, 2, 0]);
    close(confusion.metrics().kappa, 0.6875);
    const constant = new ConfusionMatrix(['a', 'b']);
    constant.addAll([0, 0, 0, 1], [0, 0, 0, 0]);
    close(constant.metrics().kappa, 0);
    const opposite = new ConfusionMatrix(['a', 'b']);
    opposite.addAll([0, 1], [1, 0]);
    close(opposite.metrics().kappa, -1);
  });

  it('leave out classes without images where they have nothing to say', () => {
    const confusion = new ConfusionMatrix(['a', 'b', 'c', 'never']);
    // c has no image but is predicted once; "never" occurs nowhere.
    confusion.addAll([0, 0, 1, 1], [0, 2, 1, 1]);
    const { meanClassAccuracy, macroF1, perClass, accuracy } = confusion.metrics();
    close(accuracy, 3 / 4);
    close(meanClassAccuracy, (1 / 2 + 1) / 2);
    close(macroF1, (2 / 3 + 1 + 0) / 3);
    assert.equal(perClass['never']!.f1, 0);
    assert.equal(perClass['c']!.recall, 0);
  });

  it('of nothing are 0', () => {
    const { count, accuracy, meanClassAccuracy, macroF1, kappa } = new ConfusionMatrix([
      'a',
      'b',
    ]).metrics();
    assert.deepEqual([count, accuracy, meanClassAccuracy, macroF1, kappa], [0, 0, 0, 0, 0]);
  });

  it('add up over batches', () => {
    const whole = new ConfusionMatrix(['a', 'b']);
    const part = new ConfusionMatrix(['a', 'b']);
    whole.addAll(Int32Array.of(0, 1), Uint8Array.of(1, 1));
    part.add(0, 0);
    whole.merge(part);
    assert.deepEqual(whole.metrics().confusion, [
      [1, 1],
      [0, 1],
    ]);
  });

  it('refuse labels that are no class', async () => {
    const confusion = new ConfusionMatrix(['a', 'b']);
    await rejectsWith(() => confusion.add(2, 0), 'ERR_LABEL_RANGE', 'Label 2');
    await rejectsWith(() => confusion.add(0, -1), 'ERR_LABEL_RANGE', 'Prediction -1');
    await rejectsWith(() => confusion.add(NaN, 0), 'ERR_LABEL_RANGE');
    await rejectsWith(() => confusion.addAll([1], [1, 0]), 'ERR_SHAPE_MISMATCH', '1 labels');
    await rejectsWith(() => confusion.merge(new ConfusionMatrix(['a', 'c'])), 'ERR_SHAPE_MISMATCH');
    assert.equal(confusion.metrics().count, 0);
  });
});
