/**
 * Data sets and images: loading, splitting, checking, metrics.
 *
 * @packageDocumentation
 */
export { ImageCache } from '../images/cache.js';
export { decodeImage, type DecodeOptions } from '../images/decode.js';
export { defaultFormats, imageFormats, type ImageFormat } from '../images/formats.js';
export { resizeImage } from '../images/resize.js';
export {
  affectnetClasses,
  ckplusClasses,
  fer2013Classes,
  ferplusClasses,
  rafdbClasses,
} from './classes.js';
export { countClasses, summariseDataset, type Dataset, type TargetKind } from './dataset.js';
export {
  inspectDataset,
  type DatasetInfo,
  type DatasetProblem,
  type DuplicateImages,
  type InspectOptions,
  type SplitInfo,
} from './inspect.js';
export type { ImageSize, ImageSizes } from './sizes.js';
export { DataLoader, defaultCacheBytes, type Batch, type DataLoaderOptions } from './loader.js';
export { mixDatasets } from './mix.js';
export { samplings, type ClassWeights, type SamplingName } from './sampling.js';
export {
  limitDataset,
  selectClasses,
  stratifiedSplit,
  subset,
  withoutBrokenImages,
  type BrokenImage,
} from './subset.js';
export { ConfusionMatrix, type ClassMetrics, type Figures, type Metrics } from '../metrics.js';
export { openDataset } from './registry.js';
export type { OpenOptions } from './formats/format.js';
