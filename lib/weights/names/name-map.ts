import { prefixBefore } from './wrappers.js';

/**
 * How one family of files names the tensors of an encoder. To add a source, write a file with such a table
 * and add a line to `sources.ts`.
 */
export interface NameMap {
  /** Its name in reports. */
  readonly title: string;
  /**
   * A name that every file of this family contains. What precedes it in a file is the prefix of all names
   * (`state_dict.module.`). Empty: the names have no prefix and no anchor.
   */
  readonly anchor: string;
  /** Prepended to the names that the rules give: `encoder.`. */
  readonly target: string;
  /** Tried in order; the first that matches the whole name is used. */
  readonly rules: readonly Rule[];
}

/**
 * Maps a name in the file to the model's name. `#` stands for a number, `*` for any rest; both are repeated
 * on the right, in order. `null`: not needed (a classifier, a buffer). If the model's tensor is split in
 * the file, `part` says which piece this is, along the first dimension.
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

/** For a tensor that is loaded if the model has one with its name and shape, and ignored otherwise. */
export const optional: Part = { ...whole, optional: true };

/** A compiled name map: where a name goes, `null` if it is not needed, undefined if no rule matches. */
export type Translate = (name: string) => Destination | null | undefined;

/** Buffers of PyTorch's modules that are computed here: the same in every family. */
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

/** Prefixes under which a file may contain a family: what precedes its anchor. */
export function prefixesOf(map: NameMap, names: Iterable<string>, most: number): string[] {
  if (map.anchor === '') return [''];
  const prefixes: string[] = [];
  for (const name of names) {
    const prefix = prefixBefore(map.anchor, name);
    if (prefix !== undefined) prefixes.push(prefix);
    if (prefixes.length === most) break;
  }
  return prefixes;
}
