import { setImmediate } from 'node:timers/promises';

/** Elements of inexpensive work, such as a conversion, between two turns: about 1 ms. */
export const elementsPerTurn = 1 << 17;

/** Elements copied or looked at between two turns: about 1 ms. */
const copiesPerTurn = 1 << 20;

/** Lets the event loop run. */
export function nextTurn(): Promise<void> {
  return setImmediate();
}

/**
 * Runs `convert(start, end)` over [0, count) in slices, letting the event loop run in between.
 */
export async function inSlices(
  count: number,
  convert: (start: number, end: number) => void,
  length: number = elementsPerTurn,
): Promise<void> {
  for (let start = 0; start < count; start += length) {
    if (start > 0) await nextTurn();
    convert(start, Math.min(start + length, count));
  }
}

/** Runs work that yields how many elements it copied, letting the event loop run in between. */
export async function inTurns(work: Iterable<number>): Promise<void> {
  let sinceTurn = 0;
  for (const done of work) {
    sinceTurn += done;
    if (sinceTurn < copiesPerTurn) continue;
    sinceTurn = 0;
    await nextTurn();
  }
}

/** Runs work of {@link inTurns} all at once. */
export function atOnce(work: Iterator<number>): void {
  while (!work.next().done);
}
