/**
 * countenance: train and run knowledge-enhanced facial expression recognition at native speed.
 *
 * @packageDocumentation
 */
export { Model, type ModelOutputs } from './model.js';
export { Trainer, type StepResult, type TrainingBatch } from './trainer.js';
export {
  Predictor,
  type PredictOptions,
  type PredictorLoadOptions,
  type PredictorOptions,
  type StreamedPrediction,
  type StreamOptions,
} from './predictor.js';
export type { Embedding, Prediction } from './predict/prediction.js';
export type { GivenEmbeddings } from './predict/text-head.js';
export { evaluate, type EvaluateOptions } from './model/evaluate.js';
export { exportOnnx, onnxInputs, type OnnxInput, type OnnxOptions } from './export/onnx.js';
export { info, type Info } from './load-native.js';
export { version } from './version.js';
export { CountenanceError, errorCodes, type ErrorCode } from './errors.js';

export {
  backbones,
  devices,
  type Backbone,
  type Device,
  type ModelConfig,
  type ModelOptions,
  type RunOptions,
} from './model/config.js';
export type { CardDetails } from './model/card.js';
export type { ImageBatch, PlanarImages } from './model/images.js';
export type { InitializeOptions, InitializeReport } from './model/initialize.js';
export type { ShapeMismatch, StateDifference } from './model/state.js';

export {
  contrasts,
  optimizers,
  precisions,
  type Augmentation,
  type Contrast,
  type LossWeights,
  type OptimizerName,
  type Precision,
  type ResolvedTrainerOptions,
  type TrainerOptions,
} from './train/options.js';
export { schedules, type ScheduleName } from './train/schedule.js';
export { presets, type Preset, type PresetName } from './train/presets.js';
export type { CheckpointOptions, FitOptions } from './train/fit-options.js';
export type { Labels } from './train/targets.js';
export type {
  BestEpoch,
  CheckpointEvent,
  DatasetSummary,
  EndEvent,
  EpochEvent,
  Losses,
  StartEvent,
  StepEvent,
  TrainingEvent,
} from './train/events.js';

export type { TextEmbeddings } from './text/embeddings.js';
export { embedText, type ClassWords, type EmbedTextOptions } from './text/embed.js';
export { ClipTextEncoder, type TextEncoderOptions } from './text/encoder.js';
export type { EncoderDtype } from './text/encoder-files.js';
export { defaultTemplate, promptFor, renderPrompt } from './text/prompts.js';
export { loadTextEmbeddings, saveTextEmbeddings } from './text/file.js';
export { syntheticTextEmbeddings } from './text/synthetic.js';

export { decodeImage } from './images/decode.js';
export type { BlobLike, ByteStream, ImageInput, PixelData, TensorLike } from './images/input.js';

export { ferplusClasses, rafdbClasses } from './data/classes.js';
export { countClasses, summariseDataset, type Dataset, type TargetKind } from './data/dataset.js';
export { DataLoader, type Batch, type DataLoaderOptions } from './data/loader.js';
export { openDataset } from './data/registry.js';
export {
  limitDataset,
  selectClasses,
  stratifiedSplit,
  subset,
  withoutBrokenImages,
  type BrokenImage,
} from './data/subset.js';
export { ConfusionMatrix, type ClassMetrics, type Metrics } from './metrics.js';
export type { RawImage, ResizeImage, StateDict, TensorData } from './types.js';
export { resizeImage } from './model/resize.js';
export {
  readSafetensors,
  writeSafetensors,
  type SafetensorsFile,
  type StoredTensor,
} from './weights/safetensors.js';
