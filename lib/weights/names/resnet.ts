import { optional, type NameMap } from './name-map.js';

/**
 * torchvision's ResNets, whose names timm and the MS-Celeb-1M checkpoints of the FER community share
 * (`state_dict.module.conv1.weight`, ...). `fc` is taken where the encoder has one of its shape; other
 * classifiers, and the face feature layer that some of them have before it, are dropped.
 */
export const resnet: readonly NameMap[] = [
  {
    title: 'ResNet of torchvision, timm or MS-Celeb-1M',
    anchor: 'layer1.0.conv1.weight',
    target: 'encoder.',
    rules: [
      ['conv1.weight', 'conv1.weight'],
      ['bn1.*', 'bn1.*'],
      ['layer#.*', 'layer#.*'],
      ['fc.*', 'fc.*', optional],
      ['feature.*', null],
      ['classifier.*', null],
      ['head.*', null],
    ],
  },
  // nn.Sequential(*list(network.children())[:-2]): 0 conv1, 1 bn1, 2 relu, 3 maxpool, 4 layer1, ...
  {
    title: 'ResNet of torchvision as a Sequential',
    anchor: '4.0.conv1.weight',
    target: 'encoder.',
    rules: [
      ['0.weight', 'conv1.weight'],
      ['1.*', 'bn1.*'],
      ['4.*', 'layer1.*'],
      ['5.*', 'layer2.*'],
      ['6.*', 'layer3.*'],
      ['7.*', 'layer4.*'],
    ],
  },
];
