/** Time between two redraws on a terminal, and between two plain lines elsewhere. */
const redrawMilliseconds = 100;
const plainMilliseconds = 10_000;

/** A stream that may be a terminal. */
export interface TextStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  /** True once writing has failed, such as after the reader of a pipe has gone; what is written is lost. */
  readonly closed?: boolean;
}

/**
 * A progress line: redrawn in place on a terminal, printed every ten seconds when the output goes to a
 * file or another program.
 */
export class ProgressLine {
  private shown = false;
  private last = performance.now();

  constructor(private readonly stream: TextStream) {}

  /** Shows `text()` when an update is due; otherwise it is not called. */
  update(text: () => string): void {
    const { stream } = this;
    const now = performance.now();
    const pause = stream.isTTY ? redrawMilliseconds : plainMilliseconds;
    if (now - this.last < pause) return;
    this.last = now;
    if (!stream.isTTY) {
      stream.write(`${text()}\n`);
      return;
    }
    stream.write(`\r\u001b[K${text().slice(0, Math.max((stream.columns ?? 80) - 1, 20))}`);
    this.shown = true;
  }

  /** Clears the line so that something else can be written. */
  clear(): void {
    if (this.shown) this.stream.write('\r\u001b[K');
    this.shown = false;
  }
}

/** `0:07`, `12:30`, `1:02:30`. */
export function duration(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(total / 60);
  if (minutes < 60) return `${minutes}:${two(total % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(total % 60)}`;
}

/** Images per second, without decimals where they are not significant. */
export function rate(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} images/s`;
}
