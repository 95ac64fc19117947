import { huggingFaceResnet } from './huggingface-resnet.js';
import { huggingFaceSwin } from './huggingface-swin.js';
import type { NameMap } from './name-map.js';
import { bare, own } from './own.js';
import { resnet } from './resnet.js';
import { swin } from './swin.js';
import { torchvisionSwin } from './torchvision-swin.js';

/** All known families of names; if two fit equally well, the first is used. */
export const sources: readonly NameMap[] = [
  ...own,
  ...resnet,
  ...huggingFaceResnet,
  ...swin,
  ...torchvisionSwin,
  ...huggingFaceSwin,
  bare,
];
