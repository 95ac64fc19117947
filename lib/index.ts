/**
 * countenance: train and run knowledge-enhanced facial expression recognition at native speed.
 *
 * @packageDocumentation
 */
export { Model, type ModelOutputs } from './model/model.js';
export { Trainer, type StepResult, type TrainingBatch } from './train/trainer.js';
export type { TrainingRun } from './train/training-run.js';
export {
  Predictor,
  type PredictOptions,
  type PredictorLoadOptions,
  type PredictorOptions,
  type RankOptions,
  type StreamedPrediction,
  type StreamOptions,
} from './predict/predictor.js';
export type { FacePrediction } from './predict/faces.js';
export type { ClassScore, Embedding, Prediction, Ranked } from './predict/prediction.js';
export { evaluate, type Evaluation, type EvaluateOptions } from './model/evaluate.js';
export type { Dataset, TargetKind } from './data/dataset.js';
export type { DetectedFace, FaceDetector } from './faces/detector.js';
export type { ClassMapping } from './data/shared-classes.js';
export type { GivenEmbeddings } from './predict/text-head.js';
export { exportOnnx, onnxInputs, type OnnxInput, type OnnxOptions } from './export/onnx.js';
export { info, type Info } from './load-native.js';
export type { NativeCudaDevice as CudaDevice, NativeCudaInfo as CudaInfo } from './native.js';
export type { LossTermName } from './core-options.js';
export type { DeviceName, LossTerms, ObjectiveOptions, OptimizerSettings } from './description.js';
export { version } from './version.js';
export { CountenanceError, errorCodes, type ErrorCode } from './errors.js';

export {
  backbones,
  devices,
  precisions,
  type Backbone,
  type Device,
  type ModelConfig,
  type ModelOptions,
  type Precision,
  type RunOptions,
} from './model/config.js';
export type { CardDetails } from './model/card.js';
export type { ImageBatch, PlanarImages } from './model/images.js';
export type { InitializeOptions, InitializeReport, ReshapedTensor } from './model/initialize.js';
export type { OtherCopy } from './weights/names/match.js';
export type { PythonObject } from './weights/weights-file.js';
export type { StateDifference } from './model/state.js';
export type { SaveWeightsOptions } from './model/export.js';

export {
  contrasts,
  optimizers,
  type Augmentation,
  type Contrast,
  type LossWeights,
  type OptimizerName,
  type ResolvedTrainerOptions,
  type TrainerOptions,
} from './train/options.js';
export { presets, type Preset, type PresetName } from './train/presets.js';
export type { EarlyStopping } from './train/early-stopping.js';
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
export { encoderDtypes, type EncoderDtype } from './text/encoder-files.js';
export { defaultTemplate, promptFor, renderPrompt } from './text/prompts.js';
export { loadTextEmbeddings, saveTextEmbeddings } from './text/file.js';
export { syntheticTextEmbeddings } from './text/synthetic.js';

export type { ImageFormat } from './images/formats.js';
export type { BlobLike, ByteStream, ImageInput, PixelData, TensorLike } from './images/input.js';

export type { OpenOptions } from './data/formats/format.js';
export { openDataset } from './data/registry.js';
export type { RawImage, StateDict, TensorData } from './types.js';
