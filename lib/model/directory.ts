import { join } from 'node:path';
import { isObject } from '../check.js';
import { CountenanceError, messageOf, toCountenanceError } from '../errors.js';
import { checkDirectory, readRegularFile } from '../files.js';
import { loadTextEmbeddings } from '../text/file.js';
import type { TextEmbeddings } from '../text/embeddings.js';
import { recoverDirectory } from '../weights/directory.js';
import { resolveConfig, without, type ModelConfig, type ModelOptions } from './config.js';

/** The files of a model directory, named as on the Hugging Face hub. */
export const modelFiles = {
  config: 'config.json',
  weights: 'model.safetensors',
  preprocessor: 'preprocessor_config.json',
  text: 'text_embeddings.safetensors',
  card: 'README.md',
} as const;

/** Raised when a directory of a later version could not be read by this one. */
const formatVersion = 1;

/** `config.json`; `id2label` and `label2id` are what Hugging Face tools look for. */
export function configJson(config: ModelConfig): string {
  return toJson({
    model_type: 'countenance',
    format_version: formatVersion,
    ...without(config, 'imageMean', 'imageStd'),
    id2label: Object.fromEntries(config.classes.map((name, i) => [String(i), name])),
    label2id: Object.fromEntries(config.classes.map((name, i) => [name, i])),
  });
}

/** `preprocessor_config.json` in the words of Hugging Face's image processors. */
export function preprocessorJson(config: ModelConfig): string {
  return toJson({
    image_processor_type: 'ViTImageProcessor',
    do_resize: true,
    size: { height: config.inputSize, width: config.inputSize },
    resample: 2, // PIL.Image.BILINEAR, antialiased
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: config.imageMean,
    image_std: config.imageStd,
  });
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/**
 * Reads everything of a model directory but the weights. A save that was interrupted is finished first.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_DIRECTORY, ERR_CHECKPOINT that names the file
 */
export async function readModelDirectory(
  directory: string,
): Promise<{ readonly options: ModelOptions; readonly textEmbeddings: TextEmbeddings }> {
  await checkDirectory(directory, 'Model directory');
  await recoverDirectory(directory);
  const config = await readJsonObject(join(directory, modelFiles.config), directory);
  const preprocessor = await readJsonObject(join(directory, modelFiles.preprocessor), directory);
  if (config['model_type'] !== 'countenance') {
    throw broken(directory, `${modelFiles.config} is not of a countenance model`);
  }
  if (config['format_version'] !== formatVersion) {
    throw broken(
      directory,
      `${modelFiles.config} has format_version ${String(config['format_version'])}; ` +
        `this version reads ${formatVersion}`,
    );
  }
  const textEmbeddings = await insideDirectory(directory, () =>
    loadTextEmbeddings(join(directory, modelFiles.text)),
  );
  const options = {
    ...config,
    imageMean: preprocessor['image_mean'],
    imageStd: preprocessor['image_std'],
    textEmbeddings,
  } as unknown as ModelOptions;
  try {
    resolveConfig(options);
  } catch (error) {
    throw broken(directory, messageOf(error), error);
  }
  return { options, textEmbeddings };
}

/** A missing part of a model directory is a broken model, whatever the part. */
export async function insideDirectory<T>(directory: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const known = toCountenanceError(error);
    if (known.code !== 'ERR_FILE_NOT_FOUND') throw known;
    throw broken(directory, known.message, error);
  }
}

async function readJsonObject(file: string, directory: string): Promise<Record<string, unknown>> {
  const bytes = await insideDirectory(directory, () => readRegularFile(file, 'File'));
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw broken(directory, `'${file}' is not JSON: ${messageOf(error)}`, error);
  }
  if (!isObject(value)) {
    throw broken(directory, `'${file}' does not hold a JSON object`);
  }
  return value as Record<string, unknown>;
}

/** An ERR_CHECKPOINT for a directory. */
export function broken(directory: string, reason: string, cause?: unknown): CountenanceError {
  return new CountenanceError('ERR_CHECKPOINT', `'${directory}' holds no usable model: ${reason}`, {
    cause,
  });
}
