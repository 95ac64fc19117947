import { join, resolve } from 'node:path';
import { CountenanceError, messageOf } from '../errors.js';
import { kindOf, readTextFile } from '../files.js';
import { findWeights, openWeights } from '../weights/open.js';

/** Precisions of an encoder's stored weights, with the suffix of the ONNX file's name. */
export const encoderDtypes = { fp32: '', fp16: '_fp16', q8: '_quantized' } as const;
/** One of {@link encoderDtypes}. */
export type EncoderDtype = keyof typeof encoderDtypes;

/** Where an encoder is. */
export interface EncoderLocation {
  /** The directory's absolute path, or the hub's `owner/name`. */
  readonly id: string;
  readonly local: boolean;
}

/**
 * Locates an encoder: a directory, or a name on the hub. A directory must contain every file that is
 * needed.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_DIRECTORY, ERR_TEXT_ENCODER which name the
 *   file and say where it comes from
 */
export async function findEncoder(model: string, dtype: EncoderDtype): Promise<EncoderLocation> {
  const kind = await kindOf(model);
  if (kind === 'directory') {
    await checkFiles(model, dtype);
    return { id: resolve(model), local: true };
  }
  if (kind === 'file') {
    throw new CountenanceError(
      'ERR_NOT_A_DIRECTORY',
      `Text encoder '${model}' is a file; expected a directory or a name on the hub (owner/name)`,
    );
  }
  if (/^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(model)) return { id: model, local: false };
  throw new CountenanceError(
    'ERR_FILE_NOT_FOUND',
    `Text encoder '${model}' is neither a directory nor a name on the hub (owner/name)`,
  );
}

async function checkFiles(directory: string, dtype: EncoderDtype): Promise<void> {
  const onnx = `onnx/text_model${encoderDtypes[dtype]}.onnx`;
  const needed = {
    'config.json': 'the configuration; every model on the hub has it',
    'tokenizer.json': 'the tokenizer; every CLIP model on the hub has it',
    'tokenizer_config.json': 'settings of the tokenizer; every model on the hub has it',
    [onnx]:
      "the text model in ONNX format with the output 'text_embeds'; repositories with an onnx folder, " +
      'such as Xenova/clip-vit-base-patch16, have it',
  };
  for (const [name, what] of Object.entries(needed)) {
    if ((await kindOf(join(directory, name))) === 'file') continue;
    throw new CountenanceError(
      'ERR_FILE_NOT_FOUND',
      `Text encoder '${directory}' has no file ${name} (${what})`,
    );
  }
  const file = join(directory, 'config.json');
  const type = await modelType(file);
  if (type === 'clip' || type === 'clip_text_model') return;
  throw new CountenanceError(
    'ERR_TEXT_ENCODER',
    `Text encoder '${directory}' is not a CLIP model: the model_type of its config.json is ` +
      JSON.stringify(type),
  );
}

async function modelType(file: string): Promise<unknown> {
  const text = await readTextFile(file, 'File');
  try {
    return (JSON.parse(text) as { model_type?: unknown } | null)?.model_type;
  } catch (error) {
    throw new CountenanceError('ERR_TEXT_ENCODER', `'${file}' is not JSON: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/**
 * exp(logit_scale), if a directory also has the model's weights: safetensors or PyTorch, whole or sharded.
 * The ONNX text model does not contain it, and config.json only has the value at the start of training.
 *
 * @throws CountenanceError the errors of {@link openWeights}
 */
export async function readLogitScale({ id, local }: EncoderLocation): Promise<number | undefined> {
  if (!local || (await findWeights(id)).length === 0) return undefined;
  await using weights = await openWeights(id);
  const [found] = [...weights.tensors].filter(([name]) => /(^|\.)logit_scale$/.test(name));
  const value = (await found?.[1].read())?.[0];
  if (value === undefined) return undefined;
  const scale = Math.exp(value);
  if (Number.isFinite(scale) && scale > 0) return scale;
  throw new CountenanceError(
    'ERR_NOT_FINITE',
    `The logit scale in '${weights.path}' is exp(${value}), which cannot be used; give another one`,
  );
}
