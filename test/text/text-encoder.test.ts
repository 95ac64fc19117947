import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { loadPeer } from '../../lib/peers.js';
import { embedText, ensembleMeans } from '../../lib/text/embed.js';
import { ClipTextEncoder } from '../../lib/text/encoder.js';
import { loadTextEmbeddings } from '../../lib/text/file.js';
import { writeWeights } from '../../lib/weights/write.js';
import { command } from '../cli/support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

/** A text encoder whose package is a stand-in: our code is under test, not the model. */
describe('text encoder', () => {
  const temporary = temporaryDirectory();
  const saved = process.env['COUNTENANCE_PEERS'];
  afterEach(() => {
    if (saved === undefined) delete process.env['COUNTENANCE_PEERS'];
    else process.env['COUNTENANCE_PEERS'] = saved;
  });

  async function write(path: string, content: string): Promise<string> {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    return path;
  }

  /** A folder with a package that replaces @huggingface/transformers. */
  async function pretend(name: string, source: string): Promise<void> {
    const folder = temporary.path(name);
    await write(join(folder, 'node_modules/@huggingface/transformers/index.js'), source);
    process.env['COUNTENANCE_PEERS'] = folder;
  }

  /** A package whose model gives `output` for (texts, tokens) ids. */
  const packageOf = (output: string): string => `
    exports.AutoTokenizer = { from_pretrained: async () => (texts, { return_tensor }) => ({
      input_ids: return_tensor === false ? texts.map((text) => [...text]) : { texts } }) };
    exports.CLIPTextModelWithProjection = { from_pretrained: async () => Object.assign(
      async ({ input_ids: { texts } }) => (${output}),
      { config: { max_position_embeddings: 70 }, dispose: async () => [] }) };`;
  const lengths = `{ text_embeds: { dims: [texts.length, 2],
    data: Float32Array.from(texts.flatMap((text) => [text.length, 1])) } }`;

  const files = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'onnx/text_model.onnx'];
  async function encoderDirectory(name: string, without?: string): Promise<string> {
    const directory = temporary.path(name);
    await mkdir(directory);
    for (const file of files) {
      if (file !== without) await write(join(directory, file), '{"model_type":"clip"}');
    }
    return directory;
  }

  it('names each file that a directory lacks, and where it comes from', async () => {
    for (const [i, file] of files.entries()) {
      const directory = await encoderDirectory(`lacks-${i}`, file);
      const parts = [directory, `no file ${file}`, 'hub'.slice(0, i < 3 ? 3 : 0)];
      await rejectsWith(ClipTextEncoder.load(directory), 'ERR_FILE_NOT_FOUND', ...parts);
    }
    const directory = await encoderDirectory('fp32 only');
    await rejectsWith(
      ClipTextEncoder.load(directory, { dtype: 'q8' }),
      'ERR_FILE_NOT_FOUND',
      'text_model_quantized.onnx',
    );
  });

  it('refuses what is no CLIP model', async () => {
    const directory = await encoderDirectory('other');
    const config = join(directory, 'config.json');
    await write(config, '{"model_type":"bert"}');
    await rejectsWith(ClipTextEncoder.load(directory), 'ERR_TEXT_ENCODER', directory, '"bert"');
    await write(config, '{');
    await rejectsWith(ClipTextEncoder.load(directory), 'ERR_TEXT_ENCODER', config, 'JSON');
    await write(config, 'null');
    await rejectsWith(ClipTextEncoder.load(directory), 'ERR_TEXT_ENCODER', directory, 'undefined');
    await rejectsWith(ClipTextEncoder.load(config), 'ERR_NOT_A_DIRECTORY', config);
    await rejectsWith(ClipTextEncoder.load('./nowhere'), 'ERR_FILE_NOT_FOUND', './nowhere', 'hub');
    await rejectsWith(ClipTextEncoder.load(''), 'ERR_INVALID_ARGUMENT', 'model');
    await rejectsWith(
      ClipTextEncoder.load(directory, { dtype: 'int3' as 'q8' }),
      'ERR_INVALID_ARGUMENT',
      'dtype',
    );
  });

  it('says how to install the package that is missing, or why it does not load', async () => {
    const directory = await encoderDirectory('complete');
    process.env['COUNTENANCE_PEERS'] = temporary.path('nothing here');
    const out = temporary.path('never.safetensors');
    const argv = ['embed-text', '--encoder', directory, '--classes', 'a,b', '--out', out];
    const { status, stderr } = await command(...argv);
    assert.equal(status, 1);
    assert.match(stderr, /npm install @huggingface\/transformers.*\(ERR_PEER_MISSING\)/);

    await pretend('throws', 'throw new Error("no library\\nfor you")');
    await rejectsWith(ClipTextEncoder.load(directory), 'ERR_PEER_LOAD', 'no library; for you');
    await pretend('needs more', 'require("not-there-either")');
    await rejectsWith(ClipTextEncoder.load(directory), 'ERR_PEER_LOAD', 'not-there-either');
    await pretend('old', 'exports.pipeline = () => {}');
    await rejectsWith(ClipTextEncoder.load(directory), 'ERR_PEER_LOAD', '4 or later');
  });

  it('finds an ES module too', async () => {
    const folder = temporary.path('esm');
    const home = join(folder, 'node_modules/@huggingface/transformers');
    await write(join(home, 'package.json'), '{"type":"module","exports":"./main.js"}');
    await write(join(home, 'main.js'), 'export const answer = 42;');
    process.env['COUNTENANCE_PEERS'] = folder;
    const module = loadPeer('@huggingface/transformers', 'A test') as { answer: number };
    assert.equal(module.answer, 42);
  });

  it('refuses an output that is no embedding', async () => {
    const directory = await encoderDirectory('odd');
    const outputs = {
      nothing: '{}',
      'other shape': '{ text_embeds: { dims: [texts.length], data: new Float32Array(1) } }',
      'other type': '{ text_embeds: { dims: [texts.length, 2], data: new Float64Array(2) } }',
      failure: '(() => { throw new Error("out of luck"); })()',
      zero: '{ text_embeds: { dims: [texts.length, 2], data: new Float32Array(2 * texts.length) } }',
      infinity: `{ text_embeds: { dims: [texts.length, 2],
        data: new Float32Array(2 * texts.length).fill(Infinity) } }`,
    };
    for (const [name, output] of Object.entries(outputs)) {
      await pretend(name, packageOf(output));
      const code =
        name === 'zero'
          ? 'ERR_ZERO_NORM'
          : name === 'infinity'
            ? 'ERR_NOT_FINITE'
            : 'ERR_TEXT_ENCODER';
      await rejectsWith(embedText(directory, ['a', 'b']), code, directory);
    }
  });

  describe('logit scale', () => {
    const scale = { shape: [], data: Float32Array.of(Math.log(42)) };
    const other = { shape: [2], data: new Float32Array(2) };
    async function scaleOf(directory: string): Promise<number | undefined> {
      await pretend('scale', packageOf(lengths));
      await using encoder = await ClipTextEncoder.load(directory);
      return encoder.logitScale;
    }
    const is42 = (value: number | undefined): void =>
      assert.ok(Math.abs(value! - 42) < 1e-4, String(value));

    it('is read from weights of every form', async () => {
      for (const [i, name] of ['model.safetensors', 'pytorch_model.bin'].entries()) {
        const directory = await encoderDirectory(`whole-${i}`);
        const tensors = new Map([
          ['text_projection.weight', other],
          ['logit_scale', scale],
        ]);
        await writeWeights(join(directory, name), tensors);
        is42(await scaleOf(directory));
      }
      for (const [i, ending] of ['safetensors', 'bin'].entries()) {
        const directory = await encoderDirectory(`shards-${i}`);
        const [first, second] = [`part-1.${ending}`, `part-2.${ending}`];
        await writeWeights(join(directory, first), new Map([['text_projection.weight', other]]));
        await writeWeights(join(directory, second), new Map([['clip.logit_scale', scale]]));
        const index = i === 0 ? 'model.safetensors.index.json' : 'pytorch_model.bin.index.json';
        const map = { 'text_projection.weight': first, 'clip.logit_scale': second };
        await write(join(directory, index), JSON.stringify({ weight_map: map }));
        is42(await scaleOf(directory));
      }
    });

    it('is read from a snapshot of the hub cache, which is made of links', async () => {
      const directory = await encoderDirectory('models--owner--clip');
      const snapshot = join(directory, 'snapshots/0123');
      await mkdir(join(snapshot, 'onnx'), { recursive: true });
      await writeWeights(join(directory, 'blob.safetensors'), new Map([['logit_scale', scale]]));
      for (const file of files) {
        await symlink(join(directory, file), join(snapshot, file));
      }
      await symlink(join(directory, 'blob.safetensors'), join(snapshot, 'model.safetensors'));
      is42(await scaleOf(snapshot));
    });

    it('is asked for where it cannot be read', async () => {
      const directory = await encoderDirectory('none');
      assert.equal(await scaleOf(directory), undefined);
      const without = new Map([['text_projection.weight', other]]);
      await writeWeights(join(directory, 'model.safetensors'), without);
      assert.equal(await scaleOf(directory), undefined);
      const out = temporary.path('text.safetensors');
      const argv = ['embed-text', '--encoder', directory, '--classes', 'a,bc', '--out', out];
      const said = await command(...argv);
      assert.equal(said.status, 0, said.stderr);
      assert.match(said.stderr, /^countenance: .*logit scale.*--logit-scale.*\n$/);

      await write(join(directory, 'model.safetensors'), 'broken');
      await rejectsWith(ClipTextEncoder.load(directory), 'ERR_SAFETENSORS', directory);
      const given = await command(...argv, '--logit-scale', '7');
      assert.deepEqual([given.status, given.stderr], [0, '']);
      assert.equal((await loadTextEmbeddings(out)).logitScale, 7);

      const huge = { shape: [], data: Float32Array.of(1000) };
      await writeWeights(join(directory, 'model.safetensors'), new Map([['logit_scale', huge]]));
      await rejectsWith(ClipTextEncoder.load(directory), 'ERR_NOT_FINITE', 'exp(1000)');
    });
  });

  it('takes class names, words and templates', async () => {
    const directory = await encoderDirectory('works');
    await pretend('lengths', packageOf(lengths));
    const { data, prompts, logitScale } = await embedText(
      directory,
      { x: 'abc', y: 'de' },
      {
        templates: ['{class}'],
      },
    );
    assert.deepEqual([...data], [3, 1, 2, 1]);
    assert.deepEqual(prompts, ['abc', 'de']);
    assert.equal(logitScale, undefined);
    await rejectsWith(
      embedText(directory, ['a'.repeat(71), 'b'], { templates: ['{class}'] }),
      'ERR_TEXT_ENCODER',
      '70 tokens',
      'has 71',
    );

    const wrong: [unknown, object, string][] = [
      [['a'], {}, 'two or more'],
      [['a', 'a'], {}, 'distinct'],
      [['a', ''], {}, 'classes'],
      [{ a: 'a', b: 2 }, {}, 'classes'],
      ['a,b', {}, 'classes'],
      [null, {}, 'classes'],
      [['a', 'b'], { templates: [] }, 'templates'],
      [['a', 'b'], { templates: ['face'] }, '{class}'],
    ];
    for (const [classes, options, part] of wrong) {
      const work = embedText(directory, classes as string[], options);
      await rejectsWith(work, 'ERR_INVALID_ARGUMENT', part);
    }
    await rejectsWith(embedText(directory, ['a', 'b'], { logitScale: -1 }), 'ERR_TEXT_EMBEDDINGS');
  });

  it('takes means of rows of length 1', () => {
    const rows = Float32Array.of(3, 4, 0, 2, 8, 6, 5, 0);
    const expected = [0.3, 0.9, 0.9, 0.3];
    ensembleMeans(rows, 2, 2).forEach((value, i) => {
      assert.ok(Math.abs(value - expected[i]!) < 1e-7);
    });
    assert.throws(() => ensembleMeans(new Float32Array(4), 2, 2), { code: 'ERR_ZERO_NORM' });
  });
});
