import { leastSeconds, workOf, type Machine } from '../roofline.js';
import type { Scenario } from '../scenarios.js';

const tera = 1e12;

/** By nvidia-smi's name; the first match applies. Figures from NVIDIA's data sheets, dense. */
const table: readonly (readonly [name: RegExp, teraOperations: number, teraBytes: number])[] = [
  [/H200 NVL/, 835.5, 4.8],
  [/H200/, 989.5, 4.8],
  [/H100 PCIe/, 756, 2.0],
  [/H100 NVL/, 835.5, 3.9],
  [/H100.*HBM3/, 989.5, 3.35],
  [/A100.*PCIe.*80GB|A100 80GB PCIe/i, 312, 1.935],
  [/A100.*80GB/, 312, 2.039],
  [/A100.*40GB/, 312, 1.555],
  [/L40S/, 362, 0.864],
  [/\bL4\b/, 121, 0.3],
  [/\bA10\b/, 125, 0.6],
];

/** For bf16 on its tensor cores and for its memory; undefined for a card that is not in the table. */
export function limitsOf(cardName: string): Machine | undefined {
  const row = table.find(([name]) => name.test(cardName));
  return row && { flopsPerSecond: row[1] * tera, bytesPerSecond: row[2] * tera };
}

/** A measured time next to the minimum that a card would need for it. */
export interface RooflineShare {
  readonly flops: number;
  readonly bytes: number;
  /** The minimum in seconds, summed over the operations. */
  readonly leastSeconds: number;
  /** Minimum time divided by measured time. */
  readonly share: number;
  /** Which takes longer over all operations. */
  readonly boundBy: 'arithmetic' | 'memory';
}

/** Undefined for a card whose limits are not known. */
export function rooflineShare(
  cardName: string,
  scenario: Scenario,
  seconds: number,
): RooflineShare | undefined {
  const limits = limitsOf(cardName);
  if (!limits) return undefined;
  const work = workOf(scenario);
  const least = leastSeconds(work, limits);
  const { flops, bytes } = work;
  const computing = flops / limits.flopsPerSecond;
  const boundBy = computing >= bytes / limits.bytesPerSecond ? 'arithmetic' : 'memory';
  return { flops, bytes, leastSeconds: least, share: least / seconds, boundBy };
}
