import { huggingFaceResnet } from './huggingface-resnet.js';
import { huggingFaceSwin } from './huggingface-swin.js';
import type { NameMap } from './name-map.js';
import { bare, own } from './own.js';
import { resnet } from './resnet.js';
import { swin } from './swin.js';
import { torchvisionSwin } from './torchvision-swin.js';

/** Every family of names that is known; where two fit equally well, the first is taken. */
export const sources: readonly NameMap[] = [
  ...own,
  ...resnet,
  ...huggingFaceResnet,
  ...swin,
  ...torchvisionSwin,
  ...huggingFaceSwin,
  bare,
];
