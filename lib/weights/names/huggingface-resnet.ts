import type { NameMap } from './name-map.js';

/**
 * Hugging Face's ResNet with basic layers (microsoft/resnet-18): stages are counted from 0, the shortcut is
 * separate.
 */
export const huggingFaceResnet: readonly NameMap[] = [
  {
    title: 'ResNet-18 of Hugging Face',
    anchor: 'embedder.embedder.convolution.weight',
    target: 'encoder.',
    rules: [
      ['embedder.embedder.convolution.*', 'conv1.*'],
      ['embedder.embedder.normalization.*', 'bn1.*'],
      ...[0, 1, 2, 3].flatMap((stage) => {
        const there = `encoder.stages.${stage}.layers.#`;
        const here = `layer${stage + 1}.#`;
        return [
          [`${there}.layer.0.convolution.*`, `${here}.conv1.*`],
          [`${there}.layer.0.normalization.*`, `${here}.bn1.*`],
          [`${there}.layer.1.convolution.*`, `${here}.conv2.*`],
          [`${there}.layer.1.normalization.*`, `${here}.bn2.*`],
          [`${there}.shortcut.convolution.*`, `${here}.downsample.0.*`],
          [`${there}.shortcut.normalization.*`, `${here}.downsample.1.*`],
        ] as const;
      }),
    ],
  },
];
