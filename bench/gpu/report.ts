import type { Fragment, Fragments } from './fragment.js';
import type { Card, Platform } from './platform.js';

/** A part without figures, and why. */
export interface Missing {
  readonly name: string;
  readonly reason: string;
}

/** Everything known about one card: what the JSON file under bench/results holds. */
export interface GpuReport {
  /** ISO date of the newest figure; null if there is none. */
  readonly date: string | null;
  readonly platform: Platform | null;
  readonly fragments: readonly Fragment[];
  readonly missing: readonly Missing[];
}

/**
 * Collects the fragments of the named parts. Figures of another card do not belong here, but those of
 * another commit do: each fragment says where it comes from.
 *
 * @param reasons why parts were not run this time, where known
 */
export function collect(
  fragments: Fragments,
  names: readonly string[],
  platform: Platform | null,
  reasons: ReadonlyMap<string, string> = new Map(),
): GpuReport {
  const found: Fragment[] = [];
  const missing: Missing[] = [];
  for (const name of names) {
    const fragment = fragments.read(name);
    const reason = reasons.get(name) ?? 'it was not run';
    if (!fragment) missing.push({ name, reason });
    else if (platform && fragment.platform.card.name !== platform.card.name) {
      missing.push({ name, reason: `${reason}; older figures are of another card` });
    } else if (fragment.status === 'not measured') {
      missing.push({ name, reason: reasons.get(name) ?? fragment.reason ?? reason });
    } else found.push(fragment);
  }
  const newest = found.map(({ date }) => date).sort();
  return {
    date: newest.at(-1) ?? null,
    platform: platform ?? found[0]?.platform ?? null,
    fragments: found,
    missing,
  };
}

/** `2026-01-31-nvidia-a100-sxm4-80gb`: the results' name without its suffix. */
export function resultName(date: string, card: Card): string {
  const name = card.name.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  return `${date.slice(0, 10)}-${name.replace(/^-|-$/g, '')}`;
}
