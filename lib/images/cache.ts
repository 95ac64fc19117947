/** Images per allocation: few large blocks instead of many small ones. */
const itemsPerSlab = 256;

/**
 * Decoded and resized images of one size by index, up to a memory limit. It fills until the limit is
 * reached and then keeps what it has: training visits every image once per epoch in random order, where
 * evicting the least recently used image would discard exactly those that come next.
 */
export class ImageCache {
  private readonly slots = new Map<number, number>();
  private readonly slabs: Uint8Array[] = [];
  /** Maximum number of images. */
  readonly capacity: number;
  private hitCount = 0;
  private missCount = 0;

  /**
   * @param itemBytes bytes of one image, `size * size * 3`
   * @param limitBytes memory limit; 0 caches nothing
   */
  constructor(
    readonly itemBytes: number,
    limitBytes: number,
  ) {
    this.capacity = Math.max(0, Math.floor(limitBytes / itemBytes));
  }

  /** Number of cached images. */
  get size(): number {
    return this.slots.size;
  }

  /** Lookups that found their image, and those that did not. */
  get statistics(): { readonly hits: number; readonly misses: number } {
    return { hits: this.hitCount, misses: this.missCount };
  }

  /** Image `index` (a view: do not write to it), or undefined. */
  get(index: number): Uint8Array | undefined {
    const slot = this.slots.get(index);
    if (slot === undefined) {
      this.missCount += 1;
      return undefined;
    }
    this.hitCount += 1;
    return this.view(slot);
  }

  /** Keeps a copy of an image if there is room. */
  put(index: number, image: Uint8Array): void {
    if (this.slots.has(index) || this.slots.size >= this.capacity) return;
    const slot = this.slots.size;
    if (slot % itemsPerSlab === 0) {
      const items = Math.min(itemsPerSlab, this.capacity - slot);
      this.slabs.push(new Uint8Array(items * this.itemBytes));
    }
    this.slots.set(index, slot);
    this.view(slot).set(image);
  }

  /** Forgets everything and frees the memory. */
  clear(): void {
    this.slots.clear();
    this.slabs.length = 0;
  }

  private view(slot: number): Uint8Array {
    const start = (slot % itemsPerSlab) * this.itemBytes;
    return this.slabs[Math.floor(slot / itemsPerSlab)]!.subarray(start, start + this.itemBytes);
  }
}
