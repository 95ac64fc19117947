import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OnnxGraph, type ValueName } from '../../lib/export/onnx/graph.js';
import { encodeModel } from '../../lib/export/onnx/model.js';
import { Random } from '../../lib/philox.js';
import { writeFileAtomic } from '../../lib/weights/atomic.js';
import { writeSafetensors } from '../../lib/weights/safetensors.js';

/** Sizes of the tiny model; only the projection is CLIP's. */
const width = 16;
const heads = 2;
const layers = 2;
const positions = 77;
const projection = 512;

const startToken = '<|startoftext|>';
const endToken = '<|endoftext|>';

/** Pairs the tokenizer joins, in order. */
const merges = ['t h', 'th e</w>', 'f a', 'fa c', 'fac e</w>', 'n e', 'ne u', 'o y</w>'];

/** GPT-2's names for the 256 bytes: printable ones stand for themselves, the others follow U+0100. */
function byteNames(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(printable(byte) ? byte : next++),
  );
}

/** Token ids by token, laid out like CLIP's vocabulary: bytes, bytes that end a word, merges, ends. */
export function vocabulary(): Map<string, number> {
  const bytes = byteNames();
  const tokens = [
    ...bytes,
    ...bytes.map((name) => `${name}</w>`),
    ...merges.map((pair) => pair.replace(' ', '')),
    startToken,
    endToken,
  ];
  return new Map(tokens.map((token, id) => [token, id]));
}

function tokenizerJson(): object {
  const vocab = vocabulary();
  const special = (content: string) => ({
    id: vocab.get(content),
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special(startToken), special(endToken)],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
          behavior: 'Removed',
          invert: true,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
      ],
    },
    post_processor: {
      type: 'RobertaProcessing',
      sep: [endToken, vocab.get(endToken)],
      cls: [startToken, vocab.get(startToken)],
      trim_offsets: false,
      add_prefix_space: false,
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: endToken,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      vocab: Object.fromEntries(vocab),
      merges,
    },
  };
}

/** The text side of CLIP with random weights: input_ids (B, L) -> text_embeds (B, 512). */
export function tinyTextModel(): Uint8Array[] {
  const graph = new OnnxGraph('tiny_clip_text');
  const random = new Random(11, 5);
  const draw = (name: string, shape: number[], spread: number, centre = 0): ValueName =>
    graph.tensor(name, {
      shape,
      data: Float32Array.from(
        { length: shape.reduce((product, size) => product * size, 1) },
        () => centre + spread * random.normal(),
      ),
    });
  const linear = (x: ValueName, name: string, inputs: number, outputs: number): ValueName => {
    const weight = draw(`${name}.weight`, [inputs, outputs], inputs ** -0.5);
    const product = graph.node(name, 'MatMul', [x, weight]);
    return graph.node(name, 'Add', [product, draw(`${name}.bias`, [outputs], 0.1)]);
  };
  const norm = (x: ValueName, name: string): ValueName =>
    graph.node(
      name,
      'LayerNormalization',
      [x, draw(`${name}.weight`, [width], 0.1, 1), draw(`${name}.bias`, [width], 0.1)],
      { axis: -1 },
    );
  const split = (x: ValueName, name: string, axes: number[]): ValueName => {
    const shape = graph.integers([0, 0, heads, width / heads]);
    return graph.node(name, 'Transpose', [graph.node(name, 'Reshape', [x, shape])], { perm: axes });
  };

  const ids = graph.input('input_ids', 'int64', ['batch', 'sequence']);
  const sizes = graph.node('sizes', 'Shape', [ids]);
  const length = graph.node('length', 'Gather', [sizes, graph.integers([1])], { axis: 0 });
  const zero = graph.integers([0]);
  const places = draw('position_embedding', [positions, width], 0.3);
  const place = graph.node('positions', 'Slice', [places, zero, length, zero]);
  const vocab = draw('token_embedding', [vocabulary().size, width], 1);
  const words = graph.node('tokens', 'Gather', [vocab, ids], { axis: 0 });
  let x = graph.node('embeddings', 'Add', [words, place]);

  const future = Float32Array.from({ length: positions * positions }, (_, i) =>
    i % positions > Math.floor(i / positions) ? -1e9 : 0,
  );
  const mask = graph.node('mask', 'Slice', [
    graph.tensor('causal_mask', { shape: [positions, positions], data: future }),
    graph.integers([0, 0]),
    graph.node('lengths', 'Concat', [length, length], { axis: 0 }),
    graph.integers([0, 1]),
  ]);
  for (let i = 0; i < layers; i++) {
    const name = `layer${i}`;
    const h = norm(x, `${name}.norm1`);
    const part = (letter: string, axes: number[]): ValueName =>
      split(linear(h, `${name}.${letter}`, width, width), `${name}.${letter}.heads`, axes);
    const scores = graph.node(`${name}.scores`, 'MatMul', [
      graph.node(`${name}.scale`, 'Mul', [
        part('q', [0, 2, 1, 3]),
        graph.scalar((width / heads) ** -0.5),
      ]),
      part('k', [0, 2, 3, 1]),
    ]);
    const masked = graph.node(`${name}.masked`, 'Add', [scores, mask]);
    const weights = graph.node(`${name}.weights`, 'Softmax', [masked], { axis: -1 });
    const mixed = graph.node(`${name}.mixed`, 'MatMul', [weights, part('v', [0, 2, 1, 3])]);
    const rows = graph.node(`${name}.rows`, 'Transpose', [mixed], { perm: [0, 2, 1, 3] });
    const joined = graph.node(`${name}.joined`, 'Reshape', [rows, graph.integers([0, 0, width])]);
    x = graph.node(`${name}.sum1`, 'Add', [x, linear(joined, `${name}.out`, width, width)]);
    const hidden = linear(norm(x, `${name}.norm2`), `${name}.fc1`, width, 4 * width);
    const gate = graph.node(`${name}.gate`, 'Sigmoid', [
      graph.node(`${name}.quick`, 'Mul', [hidden, graph.scalar(1.702)]),
    ]);
    const gelu = graph.node(`${name}.gelu`, 'Mul', [hidden, gate]);
    x = graph.node(`${name}.sum2`, 'Add', [x, linear(gelu, `${name}.fc2`, 4 * width, width)]);
  }
  x = norm(x, 'final');
  // The end token has the highest id; if there are several (padding), the first counts.
  const end = graph.node('end', 'ArgMax', [ids], { axis: 1, keepdims: 1 });
  const pooled = graph.node('pooled', 'GatherND', [x, end], { batch_dims: 1 });
  const weight = draw('text_projection', [width, projection], width ** -0.5);
  graph.output('text_embeds', graph.node('projection', 'MatMul', [pooled, weight]), [
    ...['batch', projection],
  ]);
  return encodeModel(graph, '1', 'a tiny CLIP text model with random weights', {});
}

/**
 * Writes a directory like a CLIP repository on the hub with an ONNX text model, with random weights.
 *
 * @param logitScale also writes model.safetensors with the logarithm of this
 */
export async function writeTinyClip(directory: string, logitScale?: number): Promise<void> {
  await mkdir(join(directory, 'onnx'), { recursive: true });
  const json = (name: string, value: object): Promise<void> =>
    writeFile(join(directory, name), JSON.stringify(value));
  await json('config.json', {
    model_type: 'clip',
    projection_dim: projection,
    logit_scale_init_value: 2.6592,
    text_config: {
      model_type: 'clip_text_model',
      hidden_size: width,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      max_position_embeddings: positions,
      vocab_size: vocabulary().size,
    },
    vision_config: { model_type: 'clip_vision_model' },
  });
  await json('tokenizer.json', tokenizerJson());
  await json('tokenizer_config.json', {
    tokenizer_class: 'CLIPTokenizer',
    model_max_length: positions,
    bos_token: startToken,
    eos_token: endToken,
    unk_token: endToken,
    pad_token: endToken,
  });
  await writeFileAtomic(join(directory, 'onnx/text_model.onnx'), tinyTextModel());
  if (logitScale === undefined) return;
  const scale = { shape: [], data: Float32Array.of(Math.log(logitScale)) };
  await writeSafetensors(
    join(directory, 'model.safetensors'),
    new Map([
      ['logit_scale', scale],
      ['text_projection.weight', { shape: [2, 2], data: new Float32Array(4) }],
    ]),
  );
}
