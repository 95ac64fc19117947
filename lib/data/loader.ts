import { totalmem } from 'node:os';
import { checkInteger, invalidArgument } from '../check.js';
import { throwIfAborted, toCountenanceError, withPrefix } from '../errors.js';
import { ImageCache } from '../images/cache.js';
import { resizeImage } from '../images/resize.js';
import type { Dataset } from './dataset.js';
import { Limiter } from './limiter.js';
import { permutation } from './permutation.js';
import { drawEpoch, type EpochOrder } from './sampling.js';
import { Random, randomDomain } from '../philox.js';

/** One batch of images with their targets. */
export interface Batch {
  /** Resized RGB images, (B, S, S, 3). */
  readonly images: Uint8Array;
  /** Classes, (B); for `drawn` targets the class drawn in this epoch. */
  readonly labels: Int32Array;
  /** Probabilities, (B, K), if the data set has `distribution` targets. */
  readonly targets: Float32Array | undefined;
  /** Data set index of each image, (B). */
  readonly indices: Uint32Array;
  /**
   * What the random augmentation of each image depends on, (B): its index, or another number if the image
   * has already occurred in this epoch, so that it is not augmented the same way twice.
   */
  readonly draws: Uint32Array;
  readonly epoch: number;
  /**
   * Number of images of this epoch before this batch; a resumed run that starts there gets this batch
   * first.
   */
  readonly position: number;
}

/** Options of {@link DataLoader}. */
export interface DataLoaderOptions {
  readonly batchSize: number;
  /** S, the side of the images in the batches. */
  readonly inputSize: number;
  /** A new order every epoch (training) or the data set's own (evaluation, the default). */
  readonly shuffle?: boolean;
  /**
   * Sample images so that the classes have these shares, one per class, with sum 1; needs `shuffle`.
   * Default: each image once.
   */
  readonly shares?: readonly number[] | undefined;
  /** Seed of the order and of drawn labels: an integer, default 0. */
  readonly seed?: number;
  /** Drop the last batch if it is not full; there must be a full one. Default false. */
  readonly dropLast?: boolean;
  /** Batches prepared ahead. Default 3. */
  readonly prefetch?: number;
  /** Images decoded at a time. Default 8: sharp decodes each on one of libuv's threads. */
  readonly concurrency?: number;
  /** Memory for decoded images. Default {@link defaultCacheBytes}. */
  readonly cacheBytes?: number;
}

/** A quarter of the memory this process may use (a container's limit counts), at most 8 GiB. */
export function defaultCacheBytes(): number {
  const limit = process.constrainedMemory() ?? 0;
  // "No limit" is reported as 0 or as a number larger than any machine's memory.
  const memory = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return Math.min(Math.floor(memory / 4), 8 * 2 ** 30);
}

/**
 * Makes batches from a data set: orders, decodes (once, see {@link ImageCache}) and resizes its images. The
 * batches for (seed, epoch, position) are always the same, whatever was read before.
 *
 * @example
 * const loader = new DataLoader(dataset, { batchSize: 64, inputSize: 112, shuffle: true });
 * for await (const batch of loader.epoch(0)) await trainer.step(batch);
 */
export class DataLoader {
  readonly batchSize: number;
  readonly inputSize: number;
  readonly cache: ImageCache;
  private readonly shuffle: boolean;
  private readonly shares: readonly number[] | undefined;
  private readonly seed: number;
  private readonly dropLast: boolean;
  private readonly prefetch: number;
  private readonly limiter: Limiter;

  constructor(
    readonly dataset: Dataset,
    options: DataLoaderOptions,
  ) {
    this.batchSize = checkInteger(options.batchSize, 'batchSize', 1);
    this.inputSize = checkInteger(options.inputSize, 'inputSize', 1, 4096);
    this.seed = checkInteger(options.seed ?? 0, 'seed', 0);
    this.prefetch = checkInteger(options.prefetch ?? 3, 'prefetch', 1);
    this.limiter = new Limiter(checkInteger(options.concurrency ?? 8, 'concurrency', 1));
    this.shuffle = options.shuffle ?? false;
    this.shares = options.shares;
    this.dropLast = options.dropLast ?? false;
    if (this.dropLast && dataset.size > 0 && dataset.size < this.batchSize) {
      const expected = `at most ${dataset.size}, the images of '${dataset.name}', or no dropLast`;
      throw invalidArgument(expected, 'batchSize', this.batchSize);
    }
    this.cache = new ImageCache(
      this.inputSize * this.inputSize * 3,
      options.cacheBytes ?? defaultCacheBytes(),
    );
  }

  /** Number of batches in a whole epoch. */
  get batchesPerEpoch(): number {
    const batches = this.dataset.size / this.batchSize;
    return this.dropLast ? Math.floor(batches) : Math.ceil(batches);
  }

  /**
   * The batches of one epoch, prepared ahead while the caller works.
   *
   * @param options.position images to skip at the start of the epoch: a batch's `position`
   * @throws CountenanceError ERR_ABORTED, or the error of decoding an image, which names its file
   */
  async *epoch(
    epoch: number,
    options: { position?: number; signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<Batch, void, undefined> {
    checkInteger(epoch, 'epoch', 0, 0xffffffff);
    const { size } = this.dataset;
    const order = await this.order(epoch);
    const end = this.dropLast ? size - (size % this.batchSize) : size;
    let position = checkInteger(options.position ?? 0, 'position', 0);

    // Stops the decoding in progress when the caller leaves the loop or a batch fails.
    const stop = new AbortController();
    const { signal } = stop;
    const onAbort = (): void => stop.abort(options.signal?.reason);
    options.signal?.addEventListener('abort', onAbort);
    if (options.signal?.aborted) onAbort();
    const ahead: Promise<Batch>[] = [];
    try {
      while (position < end || ahead.length > 0) {
        while (position < end && ahead.length < this.prefetch) {
          const next = Math.min(position + this.batchSize, end);
          const indices = order.indices.slice(position, next);
          const draws = order.draws.slice(position, next);
          const batch = this.batch({ indices, draws }, epoch, position, signal);
          batch.catch(() => undefined); // reported when its turn comes
          ahead.push(batch);
          position = next;
        }
        throwIfAborted(options.signal, 'Reading the data set');
        yield await ahead.shift()!;
      }
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
      stop.abort();
      await Promise.allSettled(ahead);
    }
  }

  private async order(epoch: number): Promise<EpochOrder> {
    const { dataset, seed, shares } = this;
    if (!this.shuffle) {
      const indices = Uint32Array.from({ length: dataset.size }, (_, i) => i);
      return { indices, draws: indices };
    }
    if (shares) return drawEpoch(dataset, shares, seed, epoch);
    const indices = await permutation(dataset.size, seed, randomDomain.shuffle, epoch);
    return { indices, draws: indices };
  }

  private async batch(
    { indices, draws }: EpochOrder,
    epoch: number,
    position: number,
    signal: AbortSignal,
  ): Promise<Batch> {
    const { dataset } = this;
    const itemBytes = this.cache.itemBytes;
    const images = new Uint8Array(indices.length * itemBytes);
    const labels = new Int32Array(indices.length);
    const classes = dataset.classes.length;
    const targets =
      dataset.targetKind === 'distribution'
        ? new Float32Array(indices.length * classes)
        : undefined;
    const pending: Promise<void>[] = [];
    for (const [i, index] of indices.entries()) {
      const target = dataset.target(index);
      if (targets && target) targets.set(target, i * classes);
      labels[i] =
        target && dataset.targetKind === 'drawn'
          ? this.drawLabel(target, epoch, draws[i]!)
          : dataset.label(index);
      const cached = this.cache.get(index);
      if (cached) images.set(cached, i * itemBytes);
      else pending.push(this.loadInto(images, i * itemBytes, index, signal));
    }
    // Wait for all before passing on a failure, so that no decoding outlives its epoch.
    const outcomes = await Promise.allSettled(pending);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw toCountenanceError(failed.reason);
    return { images, labels, targets, indices, draws, epoch, position };
  }

  private async loadInto(
    images: Uint8Array,
    offset: number,
    index: number,
    signal: AbortSignal,
  ): Promise<void> {
    await this.limiter.run(async () => {
      throwIfAborted(signal, 'Reading the data set');
      const prefix = `Image '${this.dataset.describe(index)}': `;
      try {
        const image = await this.dataset.load(index, signal);
        const resized = await resizeImage(image, this.inputSize).catch((error: unknown) => {
          throw withPrefix(error, prefix);
        });
        this.cache.put(index, resized);
        images.set(resized, offset);
      } catch (error) {
        throwIfAborted(signal, 'Reading the data set'); // takes precedence over what the data set throws
        throw toCountenanceError(error, 'ERR_INTERNAL', prefix);
      }
    });
  }

  /** A class drawn from `target`; depends only on seed, epoch and `draw`. */
  private drawLabel(target: Float32Array, epoch: number, draw: number): number {
    let rest = new Random(this.seed, randomDomain.labelDraw, epoch, draw).uniform();
    let last = 0;
    for (const [label, probability] of target.entries()) {
      if (probability === 0) continue;
      last = label;
      rest -= probability;
      if (rest < 0) break;
    }
    return last;
  }
}
