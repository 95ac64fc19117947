/**
 * How one family of files names the tensors of an encoder. A new source is a file with such a table, and
 * a line in `sources.ts`.
 */
export interface NameMap {
  /** What reports call it. */
  readonly title: string;
  /**
   * A name that every file of this family holds. Where a file has it, what stands before it is the
   * prefix of all its names (`state_dict.module.`). Empty: its names have no prefix and no anchor.
   */
  readonly anchor: string;
  /** Put before the names that the rules give: `encoder.`. */
  readonly target: string;
  /** Tried from the top; the first that matches the whole name counts. */
  readonly rules: readonly Rule[];
}

/**
 * From a name there to the name here. `#` stands for a number, `*` for any rest; the same come again on
 * the right, in order. `null`: of no use here (a classifier, a buffer). The part says which piece, along
 * the first dimension, of a tensor that is one here and several there.
 */
export type Rule = readonly [from: string, to: string | null, part?: Part];

export interface Part {
  readonly index: number;
  readonly of: number;
  /** Ignored where the model has no tensor of this name and shape, such as another classifier. */
  readonly optional?: true;
}

/** Where a name goes. */
export interface Destination {
  readonly name: string;
  readonly part: Part;
}

const whole: Part = { index: 0, of: 1 };

/** Of a tensor that is taken where the model has one of its name and shape, and else is of no use. */
export const optional: Part = { ...whole, optional: true };

/** A name map ready for use: where a name goes, `null` for nowhere, undefined where no rule knows it. */
export type Translate = (name: string) => Destination | null | undefined;

/** Buffers that PyTorch's modules keep, and that are computed here: the same in every family. */
const buffers: readonly Rule[] = [
  ['num_batches_tracked', null],
  ['*.num_batches_tracked', null],
  ['*.relative_position_index', null],
  ['*.attn_mask', null],
];

export function compile({ target, rules }: NameMap): Translate {
  const compiled = [...buffers, ...rules].map(([from, to, part = whole]) => ({
    pattern: toPattern(from),
    to,
    part,
  }));
  return (name) => {
    for (const { pattern, to, part } of compiled) {
      const match = pattern.exec(name);
      if (!match) continue;
      if (to === null) return null;
      const pieces = match.slice(1);
      return { name: target + to.replace(/[#*]/g, () => pieces.shift() ?? ''), part };
    }
    return undefined;
  };
}

function toPattern(from: string): RegExp {
  const escaped = from.replace(/[.]/g, '\\.');
  return new RegExp(`^${escaped.replaceAll('#', '(\\d+)').replaceAll('*', '(.+)')}$`);
}

/** Prefixes under which a file may hold a family: what stands before its anchor. */
export function prefixesOf(map: NameMap, names: Iterable<string>, most: number): string[] {
  if (map.anchor === '') return [''];
  const prefixes: string[] = [];
  for (const name of names) {
    if (!name.endsWith(map.anchor)) continue;
    const prefix = name.slice(0, -map.anchor.length);
    if (prefix === '' || prefix.endsWith('.')) prefixes.push(prefix);
    if (prefixes.length === most) break;
  }
  return prefixes;
}
