import { setImmediate } from 'node:timers/promises';

/** Elements of inexpensive work, such as a conversion, between two turns of the event loop: about 1 ms. */
export const elementsPerTurn = 1 << 17;

/** Elements copied or inspected between two turns of the event loop: about 1 ms. */
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

/** Runs work that yields the number of elements it copied, letting the event loop run in between. */
export async function inTurns(work: Iterable<number>): Promise<void> {
  let sinceTurn = 0;
  for (const done of work) {
    sinceTurn += done;
    if (sinceTurn < copiesPerTurn) continue;
    sinceTurn = 0;
    await nextTurn();
  }
}

/** Runs work for {@link inTurns} without interruption. */
export function atOnce(work: Iterator<number>): void {
  while (!work.next().done);
}
