import {
  throwIfAborted,
  toCountenanceError,
  withPrefix,
  type CountenanceError,
} from '../errors.js';
import { Limiter } from '../data/limiter.js';
import { decodeImage, describeImage } from '../images/decode.js';
import type { ImageFormat } from '../images/formats.js';
import type { ImageInput } from '../images/input.js';
import { checkResizable, resizeImage } from '../images/resize.js';
import type { Model } from '../model/model.js';
import { embeddingWidth } from '../model/config.js';
import { forwardImages } from '../model/forward.js';
import type { RawImage, TensorData } from '../types.js';
import type { Embedding } from './prediction.js';

/** Images decoded at a time: sharp decodes each on one of libuv's threads. */
const decodersAtOnce = 8;

/** Default of {@link PipelineOptions.rawLimit}. */
const defaultRawLimit = 256 * 2 ** 20;

/** What became of one image of a pipeline. */
export type Outcome = { readonly index: number; readonly image: ImageInput } & (
  | {
      readonly logits: Float32Array;
      readonly embedding: Embedding;
      /** With test-time flip: f_e of the mirror image. */
      readonly mirrored?: Float32Array | undefined;
      readonly error?: undefined;
    }
  | { readonly error: CountenanceError }
);

/** Options of {@link runPipeline}. */
export interface PipelineOptions {
  /** Most images of a forward pass. */
  readonly batchSize: number;
  /** Average the logits with those of the mirror image. */
  readonly flip: boolean;
  /** Formats of encoded images that are decoded; default as of {@link decodeImage}. */
  readonly formats?: readonly ImageFormat[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What messages call an image that has no path. */
  readonly nameOf: (index: number) => string;
  /**
   * Bytes of images held as they are, for the forward pass to resize them, so that each crosses into
   * the addon once. Default 256 MiB. What comes beyond is resized before, with the same result, so that
   * memory stays bounded.
   */
  readonly rawLimit?: number | undefined;
}

/**
 * Runs images through a model and yields what became of each, in order. While the model works on one
 * batch, the next images are read from the source and decoded; at most four batches of images are held.
 * A source that gives images slowly (a camera) is not waited for: what there is goes at once.
 *
 * An image that cannot be decoded is an outcome. An error of the source, of the model or an abort is
 * thrown.
 */
export async function* runPipeline(
  model: Model,
  source: AsyncIterable<ImageInput> | Iterable<ImageInput>,
  options: PipelineOptions,
): AsyncGenerator<Outcome, void, undefined> {
  const { signal } = options;
  throwIfAborted(signal, 'The prediction');
  const pipeline = new Pipeline(model, source, options);
  const onAbort = (): void => pipeline.wake();
  signal?.addEventListener('abort', onAbort);
  try {
    for (;;) {
      throwIfAborted(signal, 'The prediction');
      const outcome = pipeline.take();
      if (outcome) yield outcome;
      else if (pipeline.ended) return;
      else await pipeline.changed();
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    pipeline.stop();
  }
}

/** An image on its way. */
interface Slot {
  readonly index: number;
  readonly image: ImageInput;
  /** Once decoded, as it goes to the model. */
  decoded?: RawImage;
  outcome?: Outcome;
  running: boolean;
}

class Pipeline {
  private readonly iterator: AsyncIterator<ImageInput> | Iterator<ImageInput>;
  private readonly limiter = new Limiter(decodersAtOnce);
  private readonly abandon = new AbortController();
  private readonly slots: Slot[] = [];
  private readonly capacity: number;
  private count = 0;
  private reading = false;
  private sourceEnded = false;
  /** True while the source takes longer than a turn of the event loop for its next image. */
  private sourceSlow = false;
  private passes = 0;
  /** Bytes of the images that wait for the model or are with it. */
  private heldBytes = 0;
  private readonly rawLimit: number;
  private failure: { readonly error: unknown } | undefined;
  private listener: (() => void) | undefined;

  constructor(
    private readonly model: Model,
    source: AsyncIterable<ImageInput> | Iterable<ImageInput>,
    private readonly options: PipelineOptions,
  ) {
    this.iterator =
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    this.capacity = 4 * options.batchSize;
    this.rawLimit = options.rawLimit ?? defaultRawLimit;
    this.pump();
  }

  /** True when every image of the source has been taken. */
  get ended(): boolean {
    return this.sourceEnded && this.slots.length === 0;
  }

  /** The outcome of the next image in order, where it is known. */
  take(): Outcome | undefined {
    const outcome = this.slots[0]?.outcome;
    if (outcome) {
      this.slots.shift();
      this.pump();
    } else if (this.failure) {
      throw this.failure.error;
    }
    return outcome;
  }

  /** Settles at the next change. */
  changed(): Promise<void> {
    return new Promise((resolve) => (this.listener = resolve));
  }

  wake(): void {
    this.listener?.();
    this.listener = undefined;
  }

  /** Nothing more is read; what is under way ends by itself. */
  stop(): void {
    this.abandon.abort();
    // A source that is waiting for its next image may never answer: it is told, not waited for.
    if (!this.sourceEnded) void Promise.resolve(this.iterator.return?.()).catch(() => undefined);
    this.sourceEnded = true;
  }

  /** Starts whatever can be started. */
  private pump(): void {
    if (this.abandon.signal.aborted) return;
    if (!this.failure && !this.reading && !this.sourceEnded && this.slots.length < this.capacity) {
      this.reading = true;
      void this.read();
    }
    for (let batch = this.nextBatch(); batch.length > 0; batch = this.nextBatch()) {
      void this.forward(batch);
    }
    this.wake();
  }

  private async read(): Promise<void> {
    const timer = setImmediate(() => {
      this.sourceSlow = true;
      this.pump();
    });
    try {
      const { done, value } = (await this.iterator.next()) as IteratorResult<ImageInput, unknown>;
      if (done) {
        this.sourceEnded = true;
      } else {
        const slot: Slot = { index: this.count++, image: value, running: false };
        this.slots.push(slot);
        void this.decode(slot);
      }
    } catch (error) {
      this.sourceEnded = true;
      this.failure ??= { error };
    }
    clearImmediate(timer);
    this.sourceSlow = false;
    this.reading = false;
    this.pump();
  }

  private async decode(slot: Slot): Promise<void> {
    const { index, image } = slot;
    const name = this.options.nameOf(index);
    try {
      slot.decoded = await this.limiter.run(async () => {
        const { signal } = this.abandon;
        const { formats } = this.options;
        const decoded = await decodeImage(image, { name, formats, signal });
        try {
          return await this.resize(decoded);
        } catch (error) {
          throw withPrefix(
            error,
            `Image '${typeof image === 'string' ? describeImage(image) : name}': `,
          );
        }
      });
    } catch (error) {
      slot.outcome = { index, image, error: toCountenanceError(error) };
    }
    this.pump();
  }

  /** The image as it goes to the model: as it is where there is room. */
  private async resize(image: RawImage): Promise<RawImage> {
    checkResizable(image);
    const { inputSize: side } = this.model.config;
    const ready =
      this.heldBytes + image.data.length <= this.rawLimit
        ? image
        : { data: await resizeImage(image, side), width: side, height: side };
    this.heldBytes += ready.data.length;
    return ready;
  }

  /**
   * The images of a forward pass that should start now. A full batch, and the last one, may wait behind
   * the running one. A smaller one starts only where the source is slow, the model idle and nothing
   * more being decoded; every batch size has a plan of its own in the addon, so that its size is a
   * power of two.
   */
  private nextBatch(): Slot[] {
    const { batchSize } = this.options;
    if (this.failure || this.passes > 1) return [];
    const waiting = this.slots.filter((slot) => !slot.outcome && !slot.running);
    const undecoded = waiting.findIndex((slot) => !slot.decoded);
    const ready = undecoded < 0 ? waiting : waiting.slice(0, undecoded);
    if (ready.length >= batchSize) return ready.slice(0, batchSize);
    if (undecoded >= 0 || ready.length === 0) return [];
    if (this.sourceEnded) return ready;
    if (!this.sourceSlow || this.passes > 0) return [];
    return ready.slice(0, 2 ** Math.floor(Math.log2(ready.length)));
  }

  private async forward(batch: readonly Slot[]): Promise<void> {
    this.passes += 1;
    const inputs = batch.map((slot) => slot.decoded!);
    for (const slot of batch) {
      slot.running = true;
      delete slot.decoded;
    }
    try {
      const { logits, expression, neutral, mirrored } = await forwardImages(
        this.model,
        inputs,
        this.options.flip,
      );
      const classes = this.model.config.classes.length;
      const row = ({ data }: TensorData, i: number): Float32Array =>
        data.slice(i * embeddingWidth, (i + 1) * embeddingWidth);
      batch.forEach((slot, i) => {
        const { index, image } = slot;
        slot.outcome = {
          index,
          image,
          logits: logits.data.slice(i * classes, (i + 1) * classes),
          embedding: { expression: row(expression, i), neutral: row(neutral, i) },
          mirrored: mirrored && row(mirrored, i),
        };
      });
    } catch (error) {
      this.failure ??= { error };
    }
    this.heldBytes -= inputs.reduce((sum, { data }) => sum + data.length, 0);
    this.passes -= 1;
    this.pump();
  }
}
