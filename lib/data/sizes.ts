/** Width and height of an image in pixels. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** Sizes of many images. */
export interface ImageSizes {
  /** The sizes with the fewest, the median and the most pixels. */
  readonly smallest: ImageSize;
  readonly median: ImageSize;
  readonly largest: ImageSize;
  /** Number of different sizes. */
  readonly distinct: number;
  readonly mostCommon: ImageSize & { readonly count: number };
}

/** Counts image sizes. */
export class SizeCounter {
  private readonly counts = new Map<string, ImageSize & { count: number }>();
  private total = 0;

  /** Counts one image. */
  add(width: number, height: number): void {
    const key = `${width} ${height}`;
    const entry = this.counts.get(key);
    if (entry) entry.count += 1;
    else this.counts.set(key, { width, height, count: 1 });
    this.total += 1;
  }

  /** The sizes counted so far, or null if there are none. */
  result(): ImageSizes | null {
    const area = ({ width, height }: ImageSize): number => width * height;
    const sorted = [...this.counts.values()].sort((a, b) => area(a) - area(b) || a.width - b.width);
    const size = ({ width, height }: ImageSize): ImageSize => ({ width, height });
    const [smallest] = sorted;
    if (!smallest) return null;
    let before = 0;
    const median = sorted.find(({ count }) => (before += count) * 2 >= this.total)!;
    return {
      smallest: size(smallest),
      median: size(median),
      largest: size(sorted.at(-1)!),
      distinct: sorted.length,
      mostCommon: { ...sorted.reduce((most, entry) => (entry.count > most.count ? entry : most)) },
    };
  }
}
