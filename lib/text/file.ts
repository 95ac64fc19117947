import { extname } from 'node:path';
import { CountenanceError, messageOf } from '../errors.js';
import { foreignKind, startLength } from '../file-kinds.js';
import { readTextFile } from '../files.js';
import { readNpy } from '../weights/npy.js';
import { encodeSafetensors, readSafetensors } from '../weights/safetensors.js';
import { writeFileAtomic } from '../weights/atomic.js';
import { validateTextEmbeddings, type TextEmbeddings } from './embeddings.js';

/** Name of the tensor in the text embeddings files that are written here. */
const tensorName = 'text_embeddings';

/**
 * Reads text embeddings from a file, by its extension:
 *
 * - `.safetensors`: a tensor `text_embeddings` (or the only two-dimensional one) of [K, D]; the metadata
 *   fields `classes` and `prompts` (JSON lists), `logit_scale`, `model`, `created` and `source` are read if
 *   present
 * - `.npy`: an array [K, D] of float16, float32 or float64; rows in the order of the model's classes
 * - `.json`: `{ "classes": [...], "embeddings": [[...], ...], "logitScale"?, "prompts"?, "source"? }`,
 *   or the rows by class `{ "happiness": [...], "neutral": [...] }`, or the bare rows `[[...], ...]`
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_TEXT_EMBEDDINGS, ERR_SAFETENSORS, ERR_NPY,
 *   ERR_SHAPE_MISMATCH, ERR_NOT_FINITE, ERR_ZERO_NORM; each names the file
 * @example
 * const textEmbeddings = await loadTextEmbeddings('clip-vit-b16.safetensors');
 * const model = await Model.create({ backbone: 'swin-t', textEmbeddings, ... });
 */
export async function loadTextEmbeddings(file: string): Promise<TextEmbeddings> {
  const name = `'${file}'`;
  switch (extname(file).toLowerCase()) {
    case '.safetensors':
      return validateTextEmbeddings(await fromSafetensors(file), name);
    case '.npy': {
      const { shape, data } = await readNpy(file);
      return validateTextEmbeddings({ shape: matrixShape(shape, file), data, source: file }, name);
    }
    case '.json':
      return validateTextEmbeddings(await fromJson(file), name);
    default:
      throw new CountenanceError(
        'ERR_TEXT_EMBEDDINGS',
        `Expected a .safetensors, .npy or .json file for text embeddings but received ${name}`,
      );
  }
}

/** The bytes of a text embeddings file, as {@link saveTextEmbeddings} writes them. */
export function encodeTextEmbeddings(embeddings: TextEmbeddings): Uint8Array[] {
  const { shape, data, classes, prompts, logitScale, model, created, source } = embeddings;
  return encodeSafetensors(new Map([[tensorName, { shape, data }]]), {
    source,
    ...(classes && { classes: JSON.stringify(classes) }),
    ...(prompts && { prompts: JSON.stringify(prompts) }),
    ...(logitScale !== undefined && { logit_scale: String(logitScale) }),
    ...(model !== undefined && { model }),
    ...(created !== undefined && { created }),
  });
}

/**
 * Writes text embeddings to a safetensors file with their class names, prompts, scale and source;
 * {@link loadTextEmbeddings} reads them back bit for bit.
 *
 * @throws CountenanceError ERR_WRITE
 */
export async function saveTextEmbeddings(file: string, embeddings: TextEmbeddings): Promise<void> {
  validateTextEmbeddings(embeddings);
  await writeFileAtomic(file, encodeTextEmbeddings(embeddings));
}

function matrixShape(shape: readonly number[], file: string): [number, number] {
  const [rows, dimension] = shape;
  if (shape.length !== 2 || rows === undefined || dimension === undefined) {
    throw new CountenanceError(
      'ERR_SHAPE_MISMATCH',
      `Text embeddings '${file}' must have shape [classes, dimension] but have [${shape.join(', ')}]`,
    );
  }
  return [rows, dimension];
}

async function fromSafetensors(file: string): Promise<TextEmbeddings> {
  const { tensors, metadata } = await readSafetensors(file);
  const matrices = [...tensors.values()].filter(({ shape }) => shape.length === 2);
  const tensor = tensors.get(tensorName) ?? (matrices.length === 1 ? matrices[0] : undefined);
  if (!tensor) {
    throw new CountenanceError(
      'ERR_TEXT_EMBEDDINGS',
      `'${file}' has neither a tensor '${tensorName}' nor exactly one matrix; its tensors are ` +
        [...tensors.keys()].join(', '),
    );
  }
  const listOf = (field: string): unknown => {
    const text = metadata[field];
    return text === undefined ? undefined : parseJson(text, file);
  };
  const classes = listOf('classes');
  const prompts = listOf('prompts');
  const { logit_scale: scale, model, created } = metadata;
  return {
    shape: matrixShape(tensor.shape, file),
    data: tensor.data,
    source: metadata['source'] ?? file,
    ...(classes !== undefined && { classes: nameList(classes, 'classes', file) }),
    ...(prompts !== undefined && { prompts: promptList(prompts, file) }),
    ...(scale !== undefined && { logitScale: Number(scale) }),
    ...(model !== undefined && { model }),
    ...(created !== undefined && { created }),
  };
}

async function fromJson(file: string): Promise<TextEmbeddings> {
  const value = parseJson(await readTextFile(file, 'Text embeddings'), file);
  if (Array.isArray(value)) return { ...matrix(value, file), source: file };
  if (typeof value !== 'object' || value === null) {
    throw badJson(file, 'it contains neither an object nor a list of rows');
  }
  const fields = value as Record<string, unknown>;
  if (!('embeddings' in fields)) {
    const classes = Object.keys(fields);
    return { ...matrix(Object.values(fields), file), classes, source: file };
  }
  const { embeddings, classes, prompts, logitScale, source } = fields;
  if (!Array.isArray(embeddings)) throw badJson(file, "'embeddings' is not a list of rows");
  if (logitScale !== undefined && typeof logitScale !== 'number') {
    throw badJson(file, "'logitScale' is not a number");
  }
  return {
    ...matrix(embeddings, file),
    source: typeof source === 'string' ? source : file,
    ...(classes !== undefined && { classes: nameList(classes, 'classes', file) }),
    ...(prompts !== undefined && { prompts: promptList(prompts, file) }),
    ...(logitScale !== undefined && { logitScale }),
  };
}

function matrix(
  rows: readonly unknown[],
  file: string,
): { shape: readonly [number, number]; data: Float32Array } {
  const first = rows[0];
  const dimension = Array.isArray(first) ? first.length : 0;
  const data = new Float32Array(rows.length * dimension);
  rows.forEach((row, i) => {
    if (!Array.isArray(row) || row.length !== dimension) {
      throw badJson(file, `row ${i} is not a list of ${dimension} numbers`);
    }
    row.forEach((value: unknown, j) => {
      if (typeof value !== 'number')
        throw badJson(file, `row ${i} contains ${JSON.stringify(value)}`);
      data[i * dimension + j] = value;
    });
  });
  return { shape: [rows.length, dimension], data };
}

/** One prompt per row, or a list of prompts. */
function promptList(value: unknown, file: string): (string | string[])[] {
  if (!Array.isArray(value)) throw badJson(file, "'prompts' is not a list");
  return value.map((item: unknown) =>
    typeof item === 'string' ? item : nameList(item, 'prompts', file),
  );
}

function nameList(value: unknown, field: string, file: string): string[] {
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) {
    throw badJson(file, `'${field}' is not a list of strings`);
  }
  return value as string[];
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw badJson(file, foreignKind(Buffer.from(text.slice(0, startLength))) ?? messageOf(error));
  }
}

function badJson(file: string, reason: string): CountenanceError {
  return new CountenanceError(
    'ERR_TEXT_EMBEDDINGS',
    `Text embeddings '${file}' are not usable: ${reason}`,
  );
}
