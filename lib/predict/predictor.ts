import { checkBoolean, checkInteger, checkNumber, invalidArgument } from '../check.js';
import { CountenanceError } from '../errors.js';
import { describeImage } from '../images/decode.js';
import type { FaceDetector } from '../faces/detector.js';
import { checkFormats, type ImageFormat } from '../images/formats.js';
import type { ImageInput } from '../images/input.js';
import { Model } from '../model/model.js';
import type { ModelConfig, RunOptions } from '../model/config.js';
import { checkDetector, cutFaces, toFacePrediction, type FacePrediction } from './faces.js';
import { runPipeline, type Outcome } from './pipeline.js';
import {
  checkTopK,
  toPrediction,
  type Embedding,
  type Prediction,
  type Ranked,
} from './prediction.js';
import { TextHead, type GivenEmbeddings } from './text-head.js';

/** Options of {@link Predictor}. */
export interface PredictorOptions {
  /** Maximum number of images per forward pass; larger inputs are split. Default 32, at most 4096. */
  readonly batchSize?: number;
  /** Finds the faces in whole photos, for {@link Predictor.predictFaces}. */
  readonly faces?: FaceDetector;
  /**
   * Test-time flip: scores are computed from the mean of the logits of each image and its mirror image,
   * which takes twice the time. Features and intensity are those of the image itself. Default false.
   */
  readonly flip?: boolean;
  /**
   * Formats of encoded images that are decoded; others are ERR_IMAGE_DECODE. Default: JPEG, PNG, WebP, AVIF,
   * GIF, TIFF. A server that gets images from strangers needs fewer.
   */
  readonly formats?: readonly ImageFormat[];
}

/** Options of {@link Predictor.load}. */
export interface PredictorLoadOptions extends PredictorOptions, RunOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Options of one call. */
export interface PredictOptions {
  /** Stops the work: ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/** Ranks the classes: each prediction then has `top`. */
export interface RankOptions {
  /** How many of the most probable classes to return as `top`: an integer from 1 to the number of classes. */
  readonly topK: number;
}

/** Options of {@link Predictor.predictStream}. */
export interface StreamOptions extends PredictOptions {
  /**
   * Called for each image that cannot be decoded; the stream continues without it. Without this callback,
   * the first such image ends the stream with its error.
   */
  readonly onError?: (error: CountenanceError, image: ImageInput, index: number) => void;
}

/** A prediction of {@link Predictor.predictStream}. */
export interface StreamedPrediction extends Prediction {
  /** The image as it came from the source. */
  readonly image: ImageInput;
  /** Its index in the source, starting at 0. */
  readonly index: number;
}

/** The result for an image that could be decoded. */
type Success = Extract<Outcome, { logits: Float32Array }>;

/**
 * Predicts the expressions of faces. Images are decoded while the network runs, all of it off the main
 * thread; any number of calls can run concurrently.
 *
 * A loaded predictor holds memory outside the JavaScript heap: `close()` it, or declare it with
 * `await using`.
 *
 * @example
 * await using predictor = await Predictor.load('my-model');
 * const { label, score, intensity } = await predictor.predict('face.jpg');
 * // 'happiness', 0.98, 0.48
 */
export class Predictor {
  /** The model that computes the predictions. */
  readonly model: Model;
  /** Maximum number of images per forward pass. */
  readonly batchSize: number;
  readonly #faces: FaceDetector | undefined;
  /** Whether logits are averaged with those of the mirror image. */
  readonly flip: boolean;
  /** Formats of encoded images that are decoded. */
  readonly formats: readonly ImageFormat[];
  #ownsModel = false;
  #closed = false;
  #head: TextHead | undefined;

  /**
   * Uses a model that the caller opened and owns: `close()` leaves it open.
   *
   * @throws CountenanceError ERR_INVALID_ARGUMENT
   * @example
   * const predictor = new Predictor(model);
   */
  constructor(model: Model, options: PredictorOptions = {}) {
    if (!(model instanceof Model)) throw invalidArgument('a Model', 'model', model);
    this.model = model;
    this.batchSize = checkBatchSize(options);
    this.#faces = checkDetector(options.faces);
    this.flip = checkBoolean(options.flip ?? false, 'flip');
    this.formats = checkFormats(options.formats);
  }

  /**
   * Opens a model directory for predictions.
   *
   * @throws CountenanceError as {@link Model.load}
   * @example
   * const predictor = await Predictor.load('my-model', { device: 'cpu', batchSize: 64 });
   */
  static async load(directory: string, options: PredictorLoadOptions = {}): Promise<Predictor> {
    checkBatchSize(options);
    checkDetector(options.faces);
    checkBoolean(options.flip ?? false, 'flip');
    checkFormats(options.formats);
    const predictor = new Predictor(await Model.load(directory, options), options);
    predictor.#ownsModel = true;
    return predictor;
  }

  /** The configuration of the model: input size, the classes it was trained on, ... */
  get config(): ModelConfig {
    return this.model.config;
  }

  /** The classes of the predictions: the model's, or those of {@link withClasses}. */
  get classes(): readonly string[] {
    return this.#head?.classes ?? this.config.classes;
  }

  /**
   * A predictor of other expressions with the same model, without training: the features of faces are
   * compared with the given text embeddings. They must come from the text encoder whose embeddings the
   * model was trained with; a model trained with synthetic ones knows no language.
   *
   * The new predictor shares this one's model and leaves it open; once the model is closed, neither works.
   *
   * @param text raw text embeddings with class names, 512 values each
   * @param options.logitScale factor of the cosine similarities. Default: the one that the model was
   *   trained with.
   * @throws CountenanceError ERR_TEXT_EMBEDDINGS, ERR_SHAPE_MISMATCH, ERR_NOT_FINITE, ERR_ZERO_NORM,
   *   ERR_INVALID_ARGUMENT, ERR_CLOSED
   * @example
   * const text = await embedText('Xenova/clip-vit-base-patch16', ['boredom', 'pride', 'confusion']);
   * const { label } = await predictor.withClasses(text).predict('face.jpg'); // 'pride'
   */
  withClasses(text: GivenEmbeddings, options: { readonly logitScale?: number } = {}): Predictor {
    this.#requireOpen();
    if (typeof text !== 'object' || text === null) {
      throw invalidArgument('text embeddings', 'text', text);
    }
    const scale = checkNumber(
      options.logitScale ?? this.config.logitScale,
      'logitScale',
      'above 0',
    );
    const { batchSize, flip, formats } = this;
    const predictor = new Predictor(this.model, {
      ...{ batchSize, flip, formats },
      ...(this.#faces ? { faces: this.#faces } : {}),
    });
    predictor.#head = new TextHead(text, scale);
    return predictor;
  }

  /**
   * Predicts one image, or several in order: a path, file URL, encoded bytes, sharp instance, pixels or
   * tensor; or an array of them.
   *
   * @param options.topK from 1 to the number of classes: each prediction also has `top`, this many of the
   *   most probable classes as `{ label, score }`, best first
   * @returns one prediction for one image, an array for an array
   * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, ERR_IMAGE_DECODE,
   *   ERR_IMAGE_SIZE, ERR_IMAGE_CHANNELS, ERR_NOT_FINITE, ERR_INVALID_ARGUMENT: each names the file or
   *   the index in the array; ERR_ABORTED, ERR_CLOSED
   * @example
   * const [first, second] = await predictor.predict(['a.jpg', 'b.png']);
   * first.scores.happiness; // 0.98
   * @example
   * const { top } = await predictor.predict('a.jpg', { topK: 2 });
   * // [{ label: 'happiness', score: 0.91 }, { label: 'surprise', score: 0.06 }]
   */
  predict(image: ImageInput, options: PredictOptions & RankOptions): Promise<Prediction & Ranked>;
  predict(
    images: readonly ImageInput[],
    options: PredictOptions & RankOptions,
  ): Promise<(Prediction & Ranked)[]>;
  predict(image: ImageInput, options?: PredictOptions): Promise<Prediction>;
  predict(images: readonly ImageInput[], options?: PredictOptions): Promise<Prediction[]>;
  predict(
    images: ImageInput | readonly ImageInput[],
    options?: PredictOptions,
  ): Promise<Prediction | Prediction[]>;
  async predict(
    images: ImageInput | readonly ImageInput[],
    options: PredictOptions & Partial<RankOptions> = {},
  ): Promise<Prediction | Prediction[]> {
    const topK = checkTopK(options.topK, this.classes.length);
    return this.#all(images, options, (outcome) => this.#toPrediction(outcome, topK));
  }

  /**
   * Predicts every face in a photo, or in several in order: the detector given as `faces` finds them, and
   * each is aligned or cropped and predicted.
   *
   * @param options.topK as of {@link predict}
   * @returns the faces of an image, largest first; an empty array if there are none
   * @throws CountenanceError as {@link predict}; ERR_INVALID_ARGUMENT without a detector; whatever the
   *   detector throws
   * @example
   * const predictor = await Predictor.load('my-model', { faces: humanDetector(human) });
   * for (const { box, label, score } of await predictor.predictFaces('group.jpg')) { ... }
   */
  predictFaces(
    image: ImageInput,
    options: PredictOptions & RankOptions,
  ): Promise<(FacePrediction & Ranked)[]>;
  predictFaces(
    images: readonly ImageInput[],
    options: PredictOptions & RankOptions,
  ): Promise<(FacePrediction & Ranked)[][]>;
  predictFaces(image: ImageInput, options?: PredictOptions): Promise<FacePrediction[]>;
  predictFaces(
    images: readonly ImageInput[],
    options?: PredictOptions,
  ): Promise<FacePrediction[][]>;
  async predictFaces(
    images: ImageInput | readonly ImageInput[],
    options: PredictOptions & Partial<RankOptions> = {},
  ): Promise<FacePrediction[] | FacePrediction[][]> {
    this.#requireOpen();
    checkTopK(options.topK, this.classes.length);
    const detector = this.#faces;
    if (!detector) {
      throw new CountenanceError(
        'ERR_INVALID_ARGUMENT',
        'predictFaces needs a detector: pass one as the option `faces` of the predictor',
      );
    }
    const isList = Array.isArray(images);
    const results: FacePrediction[][] = [];
    for (const [i, image] of ((isList ? images : [images]) as readonly ImageInput[]).entries()) {
      const name = isList ? `images[${i}]` : describeImage(image);
      const { inputSize } = this.config;
      const cut = await cutFaces(detector, image, inputSize, {
        name,
        formats: this.formats,
        signal: options.signal,
      });
      const predictions = await this.predict(
        cut.map((face) => ({ ...face.image, channels: 3 })),
        options,
      );
      results.push(predictions.map((prediction, f) => toFacePrediction(cut[f]!.face, prediction)));
    }
    return isList ? results : results[0]!;
  }

  /**
   * The features of one image, or of several in order: 512 numbers each for the face as it is and for the
   * same face when neutral.
   *
   * @throws CountenanceError as {@link predict}
   * @example
   * const { expression, neutral } = await predictor.embed('face.jpg');
   * expression.length; // 512
   */
  embed(image: ImageInput, options?: PredictOptions): Promise<Embedding>;
  embed(images: readonly ImageInput[], options?: PredictOptions): Promise<Embedding[]>;
  async embed(
    images: ImageInput | readonly ImageInput[],
    options: PredictOptions = {},
  ): Promise<Embedding | Embedding[]> {
    return this.#all(images, options, ({ embedding }) => embedding);
  }

  /**
   * Predicts images as they arrive, in order, holding only a few at a time. Leaving the loop stops reading
   * from the source.
   *
   * @param options.topK as of {@link predict}
   * @throws CountenanceError as {@link predict}, and whatever the source throws
   * @example
   * for await (const { image, label } of predictor.predictStream(paths)) console.log(image, label);
   */
  predictStream(
    images: AsyncIterable<ImageInput> | Iterable<ImageInput>,
    options: StreamOptions & RankOptions,
  ): AsyncGenerator<StreamedPrediction & Ranked, void, undefined>;
  predictStream(
    images: AsyncIterable<ImageInput> | Iterable<ImageInput>,
    options?: StreamOptions,
  ): AsyncGenerator<StreamedPrediction, void, undefined>;
  async *predictStream(
    images: AsyncIterable<ImageInput> | Iterable<ImageInput>,
    options: StreamOptions & Partial<RankOptions> = {},
  ): AsyncGenerator<StreamedPrediction, void, undefined> {
    if (!isIterable(images)) throw invalidArgument('an iterable of images', 'images', images);
    const topK = checkTopK(options.topK, this.classes.length);
    for await (const outcome of this.#run(images, options, (index) => `images[${index}]`)) {
      const { image, index, error } = outcome;
      if (!error) {
        yield { ...this.#toPrediction(outcome, topK), image, index };
      } else if (options.onError) {
        options.onError(error, image, index);
      } else {
        throw error;
      }
    }
  }

  /**
   * Frees the memory of a model that {@link load} opened. Running calls reject with ERR_ABORTED, later
   * calls with ERR_CLOSED. Can be called more than once.
   */
  close(): void {
    this.#closed = true;
    if (this.#ownsModel) this.model.close();
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** {@link close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    if (this.#ownsModel) await this.model[Symbol.asyncDispose]();
  }

  async #all<T>(
    images: ImageInput | readonly ImageInput[],
    options: PredictOptions,
    convert: (outcome: Success) => T,
  ): Promise<T | T[]> {
    const isList = Array.isArray(images);
    const list = (isList ? images : [images]) as readonly ImageInput[];
    const nameOf = (index: number): string =>
      isList ? `images[${index}]` : describeImage(list[0]!);
    const results: T[] = [];
    for await (const outcome of this.#run(list, options, nameOf)) {
      if (outcome.error) throw outcome.error;
      results.push(convert(outcome));
    }
    return isList ? results : results[0]!;
  }

  #toPrediction({ logits, embedding, mirrored }: Success, topK?: number): Prediction {
    const own = this.#head?.logits(embedding.expression, mirrored);
    return toPrediction(own ?? logits, embedding, this.classes, topK);
  }

  async *#run(
    images: AsyncIterable<ImageInput> | Iterable<ImageInput>,
    { signal }: PredictOptions,
    nameOf: (index: number) => string,
  ): AsyncGenerator<Outcome, void, undefined> {
    this.#requireOpen();
    const { batchSize, flip, formats } = this;
    const pipeline = runPipeline(this.model, images, { batchSize, flip, formats, signal, nameOf });
    for await (const outcome of pipeline) {
      this.#requireOpen();
      yield outcome;
    }
  }

  #requireOpen(): void {
    if (!this.#closed) return;
    throw new CountenanceError('ERR_CLOSED', 'The predictor was used after close()');
  }
}

function checkBatchSize(options: PredictorOptions): number {
  if ('maxBatch' in options) {
    throw new CountenanceError('ERR_INVALID_ARGUMENT', 'maxBatch is now called batchSize');
  }
  return checkInteger(options.batchSize ?? 32, 'batchSize', 1, 4096);
}

function isIterable(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    (Symbol.asyncIterator in value || Symbol.iterator in value)
  );
}
