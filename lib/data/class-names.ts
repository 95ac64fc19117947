import {
  affectnetClasses,
  ckplusClasses,
  fer2013Classes,
  ferplusClasses,
  rafdbClasses,
} from './classes.js';
import { badSpec, type DataSpec } from './spec.js';

/** Lists of classes in the order of a data set's codes, for the option `names`. */
const lists: Readonly<Record<string, readonly string[]>> = {
  rafdb: rafdbClasses,
  affectnet7: affectnetClasses.slice(0, 7),
  affectnet8: affectnetClasses,
  fer2013: fer2013Classes,
  ferplus: ferplusClasses,
  ckplus: ckplusClasses,
};

/**
 * The classes of a data set under the names that its option `names` gives them: one of the lists above, or
 * names separated by `|`, in the order of the classes.
 *
 * @param found the names in the data set, sorted by {@link sortClasses}
 * @throws CountenanceError ERR_DATASET_FORMAT
 */
export function nameClasses(found: readonly string[], spec: DataSpec): readonly string[] {
  const text = spec.options['names'];
  if (text === undefined) return found;
  const known = Object.keys(lists).join(', ');
  const names = lists[text] ?? text.split('|').map((name) => name.trim().normalize('NFC'));
  const isList = names.length > 1 && !names.includes('') && new Set(names).size === names.length;
  if (!isList) throw badSpec(spec.text, `names=${text} is none of ${known}, nor a|b|...`);
  if (names.length === found.length) return names;
  const given = `names=${text} gives ${names.length} names`;
  throw badSpec(spec.text, `${given} to ${found.length} classes: ${found.join(', ')}`);
}

/** Classes in code point order, the same on every machine; numbers by their value. */
export function sortClasses(names: readonly string[]): string[] {
  if (areNumbers(names)) return [...names].sort((a, b) => Number(a) - Number(b));
  return [...names].sort();
}

/** What to say of classes whose names are only numbers. */
export function noteOnNumbers(classes: readonly string[]): string[] {
  if (classes.length === 0 || !areNumbers(classes)) return [];
  const options = `names=${Object.keys(lists)[0]!} or names=a|b|...`;
  return [
    `the classes are only numbers (${classes.join(', ')}); ${options} in the spec names them`,
  ];
}

function areNumbers(names: readonly string[]): boolean {
  return names.every((name) => /^\d+$/.test(name));
}
