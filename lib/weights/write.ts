import { extname } from 'node:path';
import { CountenanceError } from '../errors.js';
import type { TensorData } from '../types.js';
import { writeFileAtomic } from './atomic.js';
import { encodePyTorch } from './pytorch/write.js';
import { encodeSafetensors } from './safetensors.js';

/** Formats in which weights are written. */
export const weightFormats = ['safetensors', 'pytorch'] as const;

/** A format in which weights are written. */
export type WeightFileFormat = (typeof weightFormats)[number];

const formatOfExtension: Readonly<Record<string, WeightFileFormat>> = {
  '.safetensors': 'safetensors',
  '.pth': 'pytorch',
  '.pt': 'pytorch',
  '.bin': 'pytorch',
  '.tar': 'pytorch',
};

/**
 * Writes float32 tensors by name, atomically: a safetensors file, or one that `torch.load(file,
 * weights_only=True)` reads as a state dict.
 *
 * @param format default: by the file's extension (`.safetensors`; `.pth`, `.pt`, `.bin`, `.pth.tar`)
 * @throws CountenanceError ERR_WRITE naming the file and the reason, ERR_SHAPE_MISMATCH,
 *   ERR_INVALID_ARGUMENT if the extension is of no known format
 * @example
 * await writeWeights('encoder.pth', new Map([['conv1.weight', { shape: [64, 3, 7, 7], data }]]));
 */
export async function writeWeights(
  file: string,
  tensors: ReadonlyMap<string, TensorData>,
  format: WeightFileFormat = formatOf(file),
): Promise<void> {
  const isPyTorch = format === 'pytorch';
  const pieces = isPyTorch
    ? await encodePyTorch(tensors)
    : encodeSafetensors(tensors, { format: 'pt' });
  await writeFileAtomic(file, pieces);
}

/** The format that a file's extension asks for. */
export function formatOf(file: string): WeightFileFormat {
  const extension = extname(file).toLowerCase();
  if (Object.hasOwn(formatOfExtension, extension)) return formatOfExtension[extension]!;
  throw new CountenanceError(
    'ERR_INVALID_ARGUMENT',
    `The name '${file}' has no known extension: end it with .onnx, .safetensors or .pth, or give a format`,
  );
}
