import { setImmediate } from 'node:timers/promises';

/** Elements converted between two turns of the event loop: about 1 ms of work. */
const sliceLength = 1 << 17;

/**
 * Runs `convert(start, end)` over [0, count) in slices, letting the event loop run in between.
 */
export async function inSlices(
  count: number,
  convert: (start: number, end: number) => void,
  length: number = sliceLength,
): Promise<void> {
  for (let start = 0; start < count; start += length) {
    if (start > 0) await setImmediate();
    convert(start, Math.min(start + length, count));
  }
}
