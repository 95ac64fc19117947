import { inSlices } from '../turns.js';
import { Random } from '../philox.js';

/** Swaps between two turns of the event loop: about 1 ms of work. */
const swapsPerSlice = 1 << 15;

/**
 * A random permutation of 0..count-1 (Fisher-Yates), the same on every machine for equal arguments. The
 * products are exact for counts up to 2^21.
 *
 * @param coordinate separates permutations with the same seed and domain: the epoch
 * @param second separates them further
 */
export async function permutation(
  count: number,
  seed: number,
  domain: number,
  coordinate: number,
  second = 0,
): Promise<Uint32Array> {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const random = new Random(seed, domain, coordinate, second);
  await inSlices(
    count,
    (start, end) => {
      // Slice k of the walk from the last item to the first.
      for (let i = count - 1 - start; i > count - 1 - end; i--) {
        const j = random.below(i + 1);
        const kept = order[i]!;
        order[i] = order[j]!;
        order[j] = kept;
      }
    },
    swapsPerSlice,
  );
  return order;
}
