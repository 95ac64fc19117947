import type { NameMap, Rule } from './name-map.js';

const common: readonly Rule[] = [
  ['patch_embed.*', 'patch_embed.*'],
  ['layers.*', 'layers.*'],
  ['norm.*', 'norm.*'],
  ['feature.*', 'feature.*'],
  ['head.*', null],
];

/**
 * Microsoft's Swin Transformer, whose names are ours. SwinFace (`state_dict_backbone`) and timm before 0.9
 * share them; later versions of timm put the downsampling into the stage after it.
 */
export const swin: readonly NameMap[] = [
  {
    title: 'Swin of Microsoft, SwinFace or timm before 0.9',
    anchor: 'layers.0.downsample.norm.weight',
    target: 'encoder.',
    rules: common,
  },
  {
    title: 'Swin of timm',
    anchor: 'layers.3.downsample.norm.weight',
    target: 'encoder.',
    rules: [
      ['layers.1.downsample.*', 'layers.0.downsample.*'],
      ['layers.2.downsample.*', 'layers.1.downsample.*'],
      ['layers.3.downsample.*', 'layers.2.downsample.*'],
      ...common,
    ],
  },
];
