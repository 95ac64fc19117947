/**
 * Weight files: safetensors and PyTorch, reading and writing.
 *
 * @packageDocumentation
 */
export { openWeights } from './open.js';
export { writeWeights, weightFormats, type WeightFileFormat } from './write.js';
export type { ShapeMismatch } from './names/match.js';
export type { PythonObject, WeightsFile, WeightsFormat, WeightTensor } from './weights-file.js';
export {
  readSafetensors,
  writeSafetensors,
  type SafetensorsFile,
  type StoredTensor,
} from './safetensors.js';
export { storedBytes, type StoredType } from './dtype.js';
