import { checkChoice, checkText, describeValue, invalidArgument } from '../check.js';
import { CountenanceError, messageOf, throwIfAborted } from '../errors.js';
import { loadPeer } from '../peers.js';
import { asFloats } from '../realm.js';
import {
  encoderDtypes,
  findEncoder,
  readLogitScale,
  type EncoderDtype,
  type EncoderLocation,
} from './encoder-files.js';

/** The part of @huggingface/transformers that is used. */
interface Transformers {
  readonly AutoTokenizer: { from_pretrained(id: string, options: object): Promise<Tokenizer> };
  readonly CLIPTextModelWithProjection: {
    from_pretrained(id: string, options: object): Promise<TextModel>;
  };
}
/** Token ids: one list per text, or the input of a text model. */
interface Encoding {
  readonly input_ids: unknown;
}
type Tokenizer = (texts: readonly string[], options: object) => Encoding;
interface TextModel {
  (encoding: Encoding): Promise<{
    readonly text_embeds?: { readonly dims: readonly number[]; readonly data: unknown };
  }>;
  readonly config: object;
  dispose(): Promise<unknown>;
}

/** Options of {@link ClipTextEncoder.load}. */
export interface TextEncoderOptions {
  /** Which of the stored precisions to use: `fp32` (default), `fp16` or `q8`. */
  readonly dtype?: EncoderDtype;
  /** Branch, tag or commit on the hub. Default `main`. */
  readonly revision?: string;
  /** Cache folder for files from the hub. Default: that of @huggingface/transformers. */
  readonly cacheDirectory?: string;
  /**
   * exp(logit_scale). Default: the model's, if its files contain it; if given, they are not read for it.
   */
  readonly logitScale?: number;
  /** Checked between the steps of loading. */
  readonly signal?: AbortSignal | undefined;
}

/** Texts per forward pass. */
const batchSize = 64;

/** Maximum tokens of a text for CLIP, if the model's config does not say. */
const clipTokens = 77;

/**
 * The text side of a CLIP model: texts to embeddings. Runs on the optional package
 * @huggingface/transformers.
 *
 * Holds memory outside the JavaScript heap: `await close()` it, or declare it with `await using`.
 *
 * @example
 * await using encoder = await ClipTextEncoder.load('Xenova/clip-vit-base-patch16');
 * const { shape } = await encoder.encode(['a photo of a smiling person']); // [1, 512]
 */
export class ClipTextEncoder {
  #closed = false;

  private constructor(
    /** As passed to {@link load}. */
    readonly name: string,
    /** exp(logit_scale), if the model's weights are next to its text model; 100 for CLIP. */
    readonly logitScale: number | undefined,
    private readonly tokenizer: Tokenizer,
    private readonly model: TextModel,
  ) {}

  /**
   * Opens a CLIP text model.
   *
   * @param model a directory (config.json, tokenizer.json, tokenizer_config.json, onnx/text_model.onnx),
   *   or a name on the Hugging Face hub whose repository has the same files
   * @throws CountenanceError ERR_PEER_MISSING, ERR_PEER_LOAD, ERR_FILE_NOT_FOUND,
   *   ERR_NOT_A_DIRECTORY, ERR_TEXT_ENCODER, ERR_SAFETENSORS, ERR_PYTORCH, ERR_UNSAFE_PICKLE,
   *   ERR_INVALID_ARGUMENT, ERR_ABORTED
   */
  static async load(model: string, options: TextEncoderOptions = {}): Promise<ClipTextEncoder> {
    checkText(model, 'model', 'a directory or a name on the hub');
    const { dtype = 'fp32', signal } = options;
    checkChoice(dtype, 'dtype', Object.keys(encoderDtypes));
    throwIfAborted(signal, 'Loading the text encoder');
    const location = await findEncoder(model, dtype);
    const logitScale = options.logitScale ?? (await readLogitScale(location));
    const transformers = loadTransformers();
    throwIfAborted(signal, 'Loading the text encoder');
    const settings = {
      dtype,
      local_files_only: location.local,
      ...(options.revision !== undefined && { revision: options.revision }),
      ...(options.cacheDirectory !== undefined && { cache_dir: options.cacheDirectory }),
    };
    try {
      const { AutoTokenizer, CLIPTextModelWithProjection } = transformers;
      const tokenizer = await AutoTokenizer.from_pretrained(location.id, settings);
      throwIfAborted(signal, 'Loading the text encoder');
      const network = await CLIPTextModelWithProjection.from_pretrained(location.id, settings);
      return new ClipTextEncoder(model, logitScale, tokenizer, network);
    } catch (error) {
      throw loadError(model, location, error);
    }
  }

  /**
   * The embeddings of texts: the output of CLIP's text projection, not normalised.
   *
   * @returns shape [texts, D] and the values row by row
   * @throws CountenanceError ERR_TEXT_ENCODER for a text longer than the model accepts, or if the model's
   *   output is not embeddings; ERR_INVALID_ARGUMENT, ERR_ABORTED, ERR_CLOSED
   */
  async encode(
    texts: readonly string[],
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<{ readonly shape: [number, number]; readonly data: Float32Array }> {
    const valid = Array.isArray(texts) && texts.every((text) => typeof text === 'string');
    if (!valid || texts.length === 0) {
      throw invalidArgument('a list of one or more texts', 'texts', texts);
    }
    const parts: Float32Array[] = [];
    for (let start = 0; start < texts.length; start += batchSize) {
      throwIfAborted(options.signal, 'Embedding text');
      if (this.#closed) {
        throw new CountenanceError('ERR_CLOSED', 'The text encoder was used after close()');
      }
      parts.push(await this.encodeBatch(texts.slice(start, start + batchSize)));
    }
    const width = parts[0]!.length / Math.min(texts.length, batchSize);
    const data = new Float32Array(texts.length * width);
    parts.forEach((part, i) => data.set(part, i * batchSize * width));
    return { shape: [texts.length, width], data };
  }

  /** Frees the memory; using the encoder later throws ERR_CLOSED. May be called again. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.model.dispose();
  }

  /** {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async encodeBatch(texts: readonly string[]): Promise<Float32Array> {
    let output: Awaited<ReturnType<TextModel>>;
    try {
      this.checkLengths(texts);
      // Causal attention: the padding after the end of a shorter text does not affect its embedding.
      output = await this.model(this.tokenizer(texts, { padding: true, truncation: true }));
    } catch (error) {
      if (error instanceof CountenanceError) throw error;
      throw new CountenanceError(
        'ERR_TEXT_ENCODER',
        `Text encoder '${this.name}' failed: ${messageOf(error)}`,
        { cause: error },
      );
    }
    const { dims = [], data } = output.text_embeds ?? {};
    const floats = asFloats(data);
    if (dims.length !== 2 || dims[0] !== texts.length || !floats) {
      throw new CountenanceError(
        'ERR_TEXT_ENCODER',
        `Text encoder '${this.name}' should return text_embeds of shape [${texts.length}, D] in float32 ` +
          `but returned shape [${dims.join(', ')}] and ${describeValue(data)}`,
      );
    }
    return floats;
  }

  /** Rejects texts that are too long: the tokenizer would silently cut off their end. */
  private checkLengths(texts: readonly string[]): void {
    const { input_ids: ids } = this.tokenizer(texts, { return_tensor: false });
    const limit = maxTokens(this.model.config);
    (ids as readonly (readonly unknown[])[]).forEach(({ length }, i) => {
      if (length <= limit) return;
      throw new CountenanceError(
        'ERR_TEXT_ENCODER',
        `Text encoder '${this.name}' accepts texts of up to ${limit} tokens, but ` +
          `${describeValue(texts[i])} has ${length}`,
      );
    });
  }
}

function loadTransformers(): Transformers {
  const module = loadPeer('@huggingface/transformers', 'Embedding text') as Partial<Transformers>;
  if (module.AutoTokenizer && module.CLIPTextModelWithProjection) return module as Transformers;
  throw new CountenanceError(
    'ERR_PEER_LOAD',
    'Embedding text needs @huggingface/transformers 4 or later; the installed one has no ' +
      'CLIPTextModelWithProjection',
  );
}

function loadError(model: string, { local }: EncoderLocation, error: unknown): CountenanceError {
  if (error instanceof CountenanceError) return error;
  const hint = local
    ? ''
    : '. Without access to the hub, copy its repository and name the directory instead';
  return new CountenanceError(
    'ERR_TEXT_ENCODER',
    `Could not load the text encoder '${model}'${local ? '' : ' from the hub'}: ` +
      `${messageOf(error)}${hint}`,
    { cause: error },
  );
}

/**
 * The number of positions in a CLIP config: in its text part or, for a text model alone, at its top level.
 */
function maxTokens(config: object): number {
  const { text_config: text, max_position_embeddings: own } = config as {
    readonly text_config?: { readonly max_position_embeddings?: unknown };
    readonly max_position_embeddings?: unknown;
  };
  const positions = text?.max_position_embeddings ?? own;
  return typeof positions === 'number' ? positions : clipTokens;
}
