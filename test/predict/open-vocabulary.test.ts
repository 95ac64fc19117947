import assert from 'node:assert/strict';
import sharp from 'sharp';
import type { Model, Prediction } from '../../lib/index.js';
import { Predictor, saveTextEmbeddings, syntheticTextEmbeddings } from '../../lib/index.js';
import { faces, makeModel, textEmbeddings } from '../api-support.js';
import { command, jsonLines } from '../cli/support.js';
import { collect, rejectsWith, temporaryDirectory } from '../data/data-support.js';

const moods = syntheticTextEmbeddings(['boredom', 'pride', 'awe'], 512, 9);

describe('predictions of other classes', function () {
  this.timeout(300_000);
  const temporary = temporaryDirectory();
  const files: string[] = [];
  let directory: string;
  let model: Model;
  let predictor: Predictor;

  before(async () => {
    model = await makeModel();
    predictor = new Predictor(model, { batchSize: 2 });
    directory = temporary.path('model');
    await model.save(directory);
    const dataset = faces(3);
    for (let i = 0; i < dataset.size; i++) {
      const { data, width, height } = await dataset.load(i);
      files.push(temporary.path(`${i}.png`));
      await sharp(data, { raw: { width, height, channels: 3 } }).toFile(files[i]!);
    }
  });
  after(() => model.close());

  /** Scores of a file by the formula of the method, in double precision. */
  async function expected(file: string, scale: number): Promise<number[]> {
    const { expression } = await predictor.embed(file);
    const length = Math.hypot(...expression);
    const powers = moods.classes.map((_, k) => {
      const row = moods.data.subarray(k * 512, (k + 1) * 512);
      const cosine = expression.reduce((sum, x, i) => sum + x * row[i]!, 0) / length;
      return Math.exp((scale * cosine) / Math.hypot(...row));
    });
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  }

  it('are softmaxes of cosines with their text embeddings', async () => {
    for (const scale of [undefined, 5]) {
      const other = predictor.withClasses(moods, scale === undefined ? {} : { logitScale: scale });
      assert.deepEqual(other.classes, moods.classes);
      const predictions = await other.predict(files);
      for (const [i, { label, score, scores, intensity }] of predictions.entries()) {
        const wanted = await expected(files[i]!, scale ?? model.config.logitScale);
        assert.deepEqual(Object.keys(scores), moods.classes);
        wanted.forEach((value, k) => {
          assert.ok(Math.abs(value - scores[moods.classes[k]!]!) < 1e-5, `${i} ${k}`);
        });
        assert.equal(label, moods.classes[wanted.indexOf(Math.max(...wanted))]);
        assert.equal(score, scores[label]);
        // A batch of another size may be computed by other sums.
        const alone = await predictor.predict(files[i]!);
        assert.ok(Math.abs(intensity - alone.intensity) < 1e-6, `${i}`);
      }
    }
  });

  it("are the model's own for its own classes, and leave it as it is", async () => {
    const before = await predictor.predict(files);
    const same = await predictor.withClasses(textEmbeddings).predict(files);
    const close = (a: Prediction, b: Prediction): void => {
      for (const name of textEmbeddings.classes) {
        // The addon sums 512 products in another order.
        assert.ok(Math.abs(a.scores[name]! - b.scores[name]!) < 1e-4, name);
      }
    };
    before.forEach((prediction, i) => close(prediction, same[i]!));
    const streamed = await collect(predictor.withClasses(moods).predictStream(files));
    assert.deepEqual(
      streamed.map(({ scores }) => Object.keys(scores)),
      files.map(() => moods.classes),
    );
    assert.deepEqual(await predictor.predict(files), before);
    assert.deepEqual(predictor.classes, model.config.classes);
  });

  it('keep the test-time flip', async () => {
    const flipped = new Predictor(model, { flip: true });
    const own = await flipped.predict(files);
    const same = await flipped.withClasses(textEmbeddings).predict(files);
    const plain = await predictor.predict(files);
    own.forEach(({ scores }, i) => {
      for (const [name, score] of Object.entries(scores)) {
        assert.ok(Math.abs(score - same[i]!.scores[name]!) < 1e-4, `${i} ${name}`);
      }
    });
    assert.notDeepEqual(own[0]!.scores, plain[0]!.scores);
  });

  it('keep what they were given', async () => {
    const own = { ...moods, data: moods.data.slice() };
    const other = predictor.withClasses(own);
    const before = await other.predict(files[0]!);
    own.data.fill(1);
    assert.deepEqual(await other.predict(files[0]!), before);
  });

  it('leave the model open, and end with it', async () => {
    const loaded = await Predictor.load(directory, { device: 'cpu', threads: 1 });
    const other = loaded.withClasses(moods);
    other.close();
    await rejectsWith(other.predict(files[0]!), 'ERR_CLOSED');
    await rejectsWith(() => other.withClasses(moods), 'ERR_CLOSED');
    const another = loaded.withClasses(moods);
    assert.ok(await loaded.predict(files[0]!));
    loaded.close();
    await rejectsWith(another.predict(files[0]!), 'ERR_CLOSED');
  });

  it('refuse embeddings that do not fit', async () => {
    const { shape, data } = moods;
    const wrong: [unknown, Parameters<typeof rejectsWith>[1], string][] = [
      [{ shape, data }, 'ERR_TEXT_EMBEDDINGS', 'class names'],
      [syntheticTextEmbeddings(['a', 'b'], 64), 'ERR_TEXT_EMBEDDINGS', '64'],
      [{ ...moods, classes: ['a', 'b'] }, 'ERR_TEXT_EMBEDDINGS', '2 class names'],
      [{ ...moods, data: data.map(() => 0) }, 'ERR_ZERO_NORM', 'boredom'],
      [undefined, 'ERR_INVALID_ARGUMENT', 'text'],
    ];
    for (const [text, code, part] of wrong) {
      await rejectsWith(() => predictor.withClasses(text as typeof moods), code, part);
    }
    const scale = { logitScale: 0 };
    await rejectsWith(() => predictor.withClasses(moods, scale), 'ERR_INVALID_ARGUMENT', 'logit');
  });

  it('are made by predict --text', async () => {
    const file = temporary.path('moods.safetensors');
    await saveTextEmbeddings(file, moods);
    const argv = ['predict', '--model', directory, '--device', 'cpu', '--json'];
    const { status, stdout, stderr } = await command(...argv, '--text', file, ...files);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /trained with text embeddings of 'synthetic \(seed 0\).*\(seed 9\)/);
    const predictions = await predictor.withClasses(moods).predict(files);
    const records = jsonLines(stdout);
    assert.equal(records.length, files.length);
    for (const [i, record] of records.entries()) {
      assert.equal(record['label'], predictions[i]!.label);
      assert.deepEqual(Object.keys(record['scores'] as object), moods.classes);
    }
    const own = temporary.path('model', 'text_embeddings.safetensors');
    assert.equal((await command(...argv, '--text', own, files[0]!)).stderr, '');
    const missing = await command(...argv, '--text', 'nowhere.npy', files[0]!);
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /nowhere\.npy.*ERR_FILE_NOT_FOUND/);
  });
});
