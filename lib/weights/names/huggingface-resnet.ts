import type { NameMap } from './name-map.js';

/**
 * Hugging Face's ResNet (microsoft/resnet-18, microsoft/resnet-50): stages are counted from 0, the shortcut is
 * separate. A layer has two convolutions, or three in a bottleneck.
 */
export const huggingFaceResnet: readonly NameMap[] = [
  {
    title: 'ResNet of Hugging Face',
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
          [`${there}.layer.2.convolution.*`, `${here}.conv3.*`],
          [`${there}.layer.2.normalization.*`, `${here}.bn3.*`],
          [`${there}.shortcut.convolution.*`, `${here}.downsample.0.*`],
          [`${there}.shortcut.normalization.*`, `${here}.downsample.1.*`],
        ] as const;
      }),
    ],
  },
];
