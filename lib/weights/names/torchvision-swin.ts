import type { NameMap } from './name-map.js';

/** torchvision's swin_t and swin_s: one Sequential of embedding (0), stages (1, 3, 5, 7) and mergings (2, 4, 6). */
export const torchvisionSwin: readonly NameMap[] = [
  {
    title: 'Swin of torchvision',
    anchor: 'features.1.0.attn.qkv.weight',
    target: 'encoder.',
    rules: [
      ['features.0.0.*', 'patch_embed.proj.*'],
      ['features.0.2.*', 'patch_embed.norm.*'],
      ...[0, 1, 2, 3].flatMap((stage) => {
        const there = `features.${2 * stage + 1}.#`;
        const here = `layers.${stage}.blocks.#`;
        return [
          [`${there}.norm1.*`, `${here}.norm1.*`],
          [`${there}.attn.*`, `${here}.attn.*`],
          [`${there}.norm2.*`, `${here}.norm2.*`],
          [`${there}.mlp.0.*`, `${here}.mlp.fc1.*`],
          [`${there}.mlp.3.*`, `${here}.mlp.fc2.*`],
          [`features.${2 * stage + 2}.norm.*`, `layers.${stage}.downsample.norm.*`],
          [`features.${2 * stage + 2}.reduction.*`, `layers.${stage}.downsample.reduction.*`],
        ] as const;
      }),
      ['norm.*', 'norm.*'],
      ['head.*', null],
    ],
  },
];
