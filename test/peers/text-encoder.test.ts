import assert from 'node:assert/strict';
import { cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClipTextEncoder, embedText, loadTextEmbeddings, Model } from '../../lib/index.js';
import { command, jsonLines } from '../cli/support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';
import { onnxruntime, peer } from './support.js';
import { vocabulary, writeTinyClip } from './tiny-clip.js';

/** Token ids of words spelt as the tokenizer's tokens, between the start and end tokens. */
function ids(tokens: string): bigint[] {
  const vocab = vocabulary();
  return ['<|startoftext|>', ...tokens.split(' '), '<|endoftext|>'].map((token) => {
    const id = vocab.get(token);
    assert.ok(id !== undefined, token);
    return BigInt(id);
  });
}

describe('text encoder, on @huggingface/transformers', function () {
  this.timeout(120_000);
  const temporary = temporaryDirectory();
  let directory: string;
  let encoder: ClipTextEncoder;

  before(async () => {
    directory = temporary.path('clip');
    await writeTinyClip(directory, 50);
    encoder = await ClipTextEncoder.load(directory);
  });
  after(() => encoder.close());

  it('gives what onnxruntime gives for the same tokens', async () => {
    // 'Ü' is lowercased to 'ü', two bytes in UTF-8: 0xc3 and 0xbc, both printable as they are.
    const texts: [string, string][] = [
      ['The  face', 'the</w> face</w>'],
      ['joy, neutral', 'j oy</w> ,</w> neu t r a l</w>'],
      ['Über', 'Ã ¼ b e r</w>'],
    ];
    const { shape, data } = await encoder.encode(texts.map(([text]) => text));
    assert.deepEqual(shape, [3, 512]);
    const ort = onnxruntime();
    const session = await ort.InferenceSession.create(join(directory, 'onnx/text_model.onnx'));
    for (const [row, [text, tokens]] of texts.entries()) {
      const list = ids(tokens);
      const input = new ort.Tensor('int64', BigInt64Array.from(list), [1, list.length]);
      const { text_embeds: expected } = await session.run({ input_ids: input });
      expected!.data.forEach((value, i) => {
        const apart = Math.abs(value - data[row * 512 + i]!);
        assert.ok(apart < 1e-5, `${text} differs by ${apart}`);
      });
    }
    await session.release();
    assert.ok(data.some((value, i) => Math.abs(value - data[(i + 512) % data.length]!) > 0.01));
  });

  it('works through many texts in passes, each as if it were alone', async () => {
    const texts = Array.from({ length: 70 }, (_, i) => `face ${'x'.repeat(i % 9)} ${i}`);
    const { shape, data } = await encoder.encode(texts);
    assert.deepEqual(shape, [70, 512]);
    for (const row of [0, 63, 64, 69]) {
      const alone = await encoder.encode([texts[row]!]);
      alone.data.forEach((value, i) => {
        assert.ok(Math.abs(value - data[row * 512 + i]!) < 1e-5, `row ${row}`);
      });
    }
  });

  it('makes text embeddings of classes: raw rows of one prompt, means of several', async () => {
    const one = await embedText(encoder, ['anger', 'neutral']);
    const prompt = 'a photo of a person making an anger facial expression.';
    assert.equal(one.prompts?.[0], prompt);
    assert.deepEqual(one.data.slice(0, 512), (await encoder.encode([prompt])).data);
    assert.ok(Math.abs(one.logitScale! - 50) < 1e-3);
    assert.equal(one.model, directory);
    assert.ok(Math.abs(Date.parse(one.created!) - Date.now()) < 60_000);

    const templates = ['a {class} face', 'das Gesicht: {class}'];
    const classes = { joy: 'Freude', neutral: 'neutral' };
    const several = await embedText(encoder, classes, { templates, logitScale: 7 });
    assert.deepEqual(several.classes, ['joy', 'neutral']);
    assert.deepEqual(several.prompts?.[0], ['a Freude face', 'das Gesicht: Freude']);
    assert.equal(several.logitScale, 7);
    assert.match(several.source, /2 prompts/);
    const { data } = await encoder.encode(
      templates.map((template) => template.replace('{class}', 'Freude')),
    );
    const [first, second] = [data.subarray(0, 512), data.subarray(512)];
    const [a, b] = [Math.hypot(...first), Math.hypot(...second)];
    for (let i = 0; i < 512; i++) {
      const mean = (first[i]! / a + second[i]! / b) / 2;
      assert.ok(Math.abs(mean - several.data[i]!) < 1e-6, `value ${i}`);
    }
  });

  it('is run by the command, and its file makes a model', async () => {
    const file = temporary.path('text.safetensors');
    const { status, stdout, stderr } = await command(
      ...['embed-text', '--encoder', directory, '--classes', 'joy=Freude,anger,neutral'],
      ...['--template', '{a} {class} face', '--template', 'ein {class}', '--out', file, '--json'],
    );
    assert.equal(status, 0, stderr);
    const [record] = jsonLines(stdout);
    assert.deepEqual(record!['prompts'], [
      ['a Freude face', 'ein Freude'],
      ['an anger face', 'ein anger'],
      ['a neutral face', 'ein neutral'],
    ]);
    const embeddings = await loadTextEmbeddings(file);
    assert.deepEqual(embeddings.classes, ['joy', 'anger', 'neutral']);
    assert.deepEqual(embeddings.prompts, record!['prompts']);
    assert.equal(embeddings.model, directory);
    const config = { backbone: 'resnet18', inputSize: 32, device: 'cpu' } as const;
    await using model = await Model.create({ ...config, textEmbeddings: embeddings });
    assert.ok(Math.abs(model.config.logitScale - 50) < 1e-3);
  });

  it('knows no logit scale where the weights are not there', async () => {
    const bare = temporary.path('bare');
    await writeTinyClip(bare);
    const file = temporary.path('bare.safetensors');
    const argv = ['embed-text', '--encoder', bare, '--classes', 'a,b', '--out', file];
    const { status, stderr } = await command(...argv);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /logit scale/);
    assert.equal((await loadTextEmbeddings(file)).logitScale, undefined);
  });

  it('refuses what it cannot do, and says why', async () => {
    await rejectsWith(encoder.encode([]), 'ERR_INVALID_ARGUMENT', 'texts');
    const long = `face ${'x'.repeat(80)}`;
    await rejectsWith(encoder.encode(['face', long]), 'ERR_TEXT_ENCODER', '77', 'face x', '83');
    await rejectsWith(
      encoder.encode(['a'], { signal: AbortSignal.abort() }),
      'ERR_ABORTED',
      'Embedding',
    );

    const broken = temporary.path('broken');
    await cp(directory, broken, { recursive: true });
    await writeFile(join(broken, 'onnx/text_model.onnx'), 'no model');
    await rejectsWith(ClipTextEncoder.load(broken), 'ERR_TEXT_ENCODER', broken);
    await writeFile(join(broken, 'tokenizer.json'), '{');
    await rejectsWith(ClipTextEncoder.load(broken), 'ERR_TEXT_ENCODER', broken);
    await rm(join(broken, 'tokenizer.json'));
    await rejectsWith(ClipTextEncoder.load(broken), 'ERR_FILE_NOT_FOUND', 'tokenizer.json');

    const closed = await ClipTextEncoder.load(directory);
    await closed.close();
    await closed.close();
    await rejectsWith(closed.encode(['a']), 'ERR_CLOSED');
  });

  it('says that the hub could not be had', async () => {
    const { env } = peer('@huggingface/transformers') as {
      env: { allowRemoteModels: boolean };
    };
    env.allowRemoteModels = false;
    try {
      const error = await rejectsWith(
        ClipTextEncoder.load('no/such'),
        'ERR_TEXT_ENCODER',
        'no/such',
      );
      assert.match(error.message, /hub/);
    } finally {
      env.allowRemoteModels = true;
    }
  });
});
