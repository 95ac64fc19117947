import { checkDistinct, checkInteger, invalidArgument, isObject } from '../check.js';
import { CountenanceError } from '../errors.js';
import { validateTextEmbeddings, type TextEmbeddings } from './embeddings.js';
import { ClipTextEncoder, type TextEncoderOptions } from './encoder.js';
import { defaultTemplate, renderPrompt } from './prompts.js';

/** Class names, or class names with the words used for them in a prompt, in any language. */
export type ClassWords = readonly string[] | Readonly<Record<string, string>>;

/** Options of {@link embedText}. */
export interface EmbedTextOptions extends TextEncoderOptions {
  /**
   * Prompts with `{class}` as the placeholder of the class, and `{a}` for the article "a" or "an". Default:
   * the paper's, "a photo of a person making {a} {class} facial expression.".
   *
   * The row of a class is the raw embedding of its prompt; with several templates it is the mean of its
   * prompts' embeddings, each normalised to length 1 first. The mean is not normalised again: its length
   * shows how much the prompts agree, and cosine similarities do not depend on it.
   */
  readonly templates?: readonly string[];
}

/**
 * Text embeddings of classes from a CLIP text model, for training and prediction.
 *
 * @param encoder an open encoder, or a model for {@link ClipTextEncoder.load}
 * @param classes names in row order; with words in another language as `{ happiness: 'Freude', neutral:
 *   'neutral' }`
 * @returns raw rows [K, D] with classes, prompts, logit scale (if known), model and date
 * @throws CountenanceError the errors of {@link ClipTextEncoder.load} and `encode`; ERR_INVALID_ARGUMENT
 * @example
 * const text = await embedText('Xenova/clip-vit-base-patch16', ['happiness', 'anger', 'neutral']);
 * await saveTextEmbeddings('clip-text.safetensors', text);
 */
export async function embedText(
  encoder: string | ClipTextEncoder,
  classes: ClassWords,
  options: EmbedTextOptions = {},
): Promise<TextEmbeddings & { readonly classes: readonly string[] }> {
  const words = classWords(classes);
  const { templates = [defaultTemplate] } = options;
  if (!isList(templates) || templates.length === 0) {
    throw invalidArgument('a list of one or more templates', 'templates', templates);
  }
  const prompts = words.map(([, text]) =>
    templates.map((template) => renderPrompt(template, text)),
  );
  if (encoder instanceof ClipTextEncoder) return embed(encoder, words, prompts, options);
  await using opened = await ClipTextEncoder.load(encoder, options);
  return await embed(opened, words, prompts, options);
}

async function embed(
  encoder: ClipTextEncoder,
  words: readonly (readonly [string, string])[],
  prompts: readonly (readonly string[])[],
  options: EmbedTextOptions,
): Promise<TextEmbeddings & { readonly classes: readonly string[] }> {
  const { shape, data } = await encoder.encode(prompts.flat(), options);
  const width = shape[1];
  const templates = prompts[0]!.length;
  const logitScale = options.logitScale ?? encoder.logitScale;
  const embeddings = {
    shape: [words.length, width] as const,
    data: templates === 1 ? data : ensembleMeans(data, width, templates),
    classes: words.map(([name]) => name),
    prompts: prompts.map((list) => (list.length === 1 ? list[0]! : list)),
    ...(logitScale !== undefined && { logitScale }),
    model: encoder.name,
    created: new Date().toISOString(),
    source:
      `CLIP text model '${encoder.name}'` +
      (templates === 1
        ? ''
        : `, mean of the normalised embeddings of ${templates} prompts per class`),
  };
  validateTextEmbeddings(embeddings, `the text encoder '${encoder.name}'`);
  return embeddings;
}

/** (K * templates, D) -> (K, D): means of the normalised rows. */
export function ensembleMeans(data: Float32Array, width: number, templates: number): Float32Array {
  checkInteger(templates, 'templates', 1);
  const means = new Float32Array(data.length / templates);
  const sums = new Float64Array(width);
  for (let start = 0; start < data.length; start += templates * width) {
    sums.fill(0);
    for (let t = 0; t < templates; t++) {
      const row = data.subarray(start + t * width, start + (t + 1) * width);
      const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
      if (length === 0) {
        throw new CountenanceError(
          'ERR_ZERO_NORM',
          'The text encoder returned a zero embedding for a prompt',
        );
      }
      row.forEach((value, i) => (sums[i]! += value / length));
    }
    sums.forEach((sum, i) => (means[start / templates + i] = sum / templates));
  }
  return means;
}

/** Array.isArray would make the elements of a readonly list `any`. */
function isList(value: readonly string[]): boolean {
  return Array.isArray(value);
}

function classWords(classes: ClassWords): (readonly [string, string])[] {
  const words =
    Array.isArray(classes) && classes.every((name) => typeof name === 'string')
      ? (classes as readonly string[]).map((name) => [name, name] as const)
      : isObject(classes)
        ? Object.entries(classes as Readonly<Record<string, string>>)
        : [];
  const usable = words.every(([name, text]) => name && typeof text === 'string' && text);
  if (words.length < 2 || !usable) {
    throw invalidArgument('two or more class names', 'classes', classes);
  }
  checkDistinct(
    words.map(([name]) => name),
    'classes',
  );
  return words;
}
