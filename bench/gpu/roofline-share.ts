import { limitsOf } from './limits.js';

/** What a step or pass has to do at least. */
export interface Work {
  /** Of the matrix products; a multiplication and an addition are two. */
  readonly operations: number;
  /** From and to the card's memory. */
  readonly bytes: number;
}

/** A measured time beside the least that a card would need. */
export interface RooflineShare extends Work {
  /** Least seconds: the longer one of computing and moving. */
  readonly seconds: number;
  readonly boundBy: 'operations' | 'bytes';
  /** Least time through measured time: 1 is the roofline. */
  readonly share: number;
}

/** Undefined for a card whose limits are not known. */
export function rooflineShare(
  cardName: string,
  { operations, bytes }: Work,
  measuredSeconds: number,
): RooflineShare | undefined {
  const limits = limitsOf(cardName);
  if (!limits) return undefined;
  const computing = operations / limits.operationsPerSecond;
  const moving = bytes / limits.bytesPerSecond;
  const seconds = Math.max(computing, moving);
  const boundBy = computing >= moving ? 'operations' : 'bytes';
  return { operations, bytes, seconds, boundBy, share: seconds / measuredSeconds };
}
