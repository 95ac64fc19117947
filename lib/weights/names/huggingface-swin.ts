import type { NameMap, Part } from './name-map.js';

const there = 'encoder.layers.#.blocks.#';
const here = 'layers.#.blocks.#';
const table = `${here}.attn.relative_position_bias_table`;
const third = (index: number): Part => ({ index, of: 3 });

/**
 * Hugging Face's Swin. Query, key and value are three tensors there, and rows of one tensor here. Names
 * come in pairs: that in the files on the hub, and that of transformers 5 in memory.
 */
export const huggingFaceSwin: readonly NameMap[] = [
  {
    title: 'Swin of Hugging Face',
    anchor: 'embeddings.patch_embeddings.projection.weight',
    target: 'encoder.',
    rules: [
      ['embeddings.patch_embeddings.projection.*', 'patch_embed.proj.*'],
      ['embeddings.norm.*', 'patch_embed.norm.*'],
      [`${there}.layernorm_before.*`, `${here}.norm1.*`],
      [`${there}.attention.self.relative_position_bias_table`, table],
      [`${there}.attention.relative_position_bias.relative_position_bias_table`, table],
      [`${there}.attention.self.query.*`, `${here}.attn.qkv.*`, third(0)],
      [`${there}.attention.self.key.*`, `${here}.attn.qkv.*`, third(1)],
      [`${there}.attention.self.value.*`, `${here}.attn.qkv.*`, third(2)],
      [`${there}.attention.q_proj.*`, `${here}.attn.qkv.*`, third(0)],
      [`${there}.attention.k_proj.*`, `${here}.attn.qkv.*`, third(1)],
      [`${there}.attention.v_proj.*`, `${here}.attn.qkv.*`, third(2)],
      [`${there}.attention.output.dense.*`, `${here}.attn.proj.*`],
      [`${there}.attention.o_proj.*`, `${here}.attn.proj.*`],
      [`${there}.layernorm_after.*`, `${here}.norm2.*`],
      [`${there}.intermediate.dense.*`, `${here}.mlp.fc1.*`],
      [`${there}.output.dense.*`, `${here}.mlp.fc2.*`],
      [`${there}.mlp.*`, `${here}.mlp.*`],
      ['encoder.layers.#.downsample.*', 'layers.#.downsample.*'],
      ['layernorm.*', 'norm.*'],
    ],
  },
];
