import type { InitializeReport } from '../model/initialize.js';
import { shellWord } from './train-log.js';

/** How many names of each kind are shown; the JSON record has them all. */
const shown = 3;

/** What `--init` took from a file and what it did not, one line per kind. */
export function initReport(given: string, report: InitializeReport): string {
  const { file = given, source, prefix, matched, reshaped, missing, mismatched } = report;
  const { unexpected, ignored, absent, notRebuilt, others, beside } = report;
  const kinds: readonly (readonly [string, readonly string[]])[] = [
    ['matched', matched],
    ['reshaped', reshaped.map(({ name, from, to, how }) => `${name} ${change(from, to)} (${how})`)],
    ['missing', missing],
    [
      'other shape',
      mismatched.map(({ name, expected, received }) => `${name} ${change(received, expected)}`),
    ],
    ['unexpected', unexpected],
    ['ignored', tellingFirst(ignored)],
    ['in no shard', absent],
    ['not rebuilt', notRebuilt.map(({ name, type }) => (name === '' ? type : `${name} (${type})`))],
  ];
  const lines = kinds
    .filter(([kind, names]) => kind === 'matched' || names.length > 0)
    .map(([kind, names]) => line(kind, names.length, sample(names)));
  const copies = others.map((copy) => {
    const option = `--init-prefix ${shellWord(copy.prefix)}`;
    const where = copy.prefix === '' ? 'without a prefix' : `under '${copy.prefix}'`;
    return line('other copy', copy.matched, `${where}, taken with ${option}`);
  });
  const files = beside.map((path) =>
    line('not read', 1, `${path}, taken with --init ${shellWord(path)}`),
  );
  const head = `${file}: ${source}${prefix && `, under '${prefix}'`}`;
  return [head, ...lines, ...copies, ...files].join('\n');
}

function line(kind: string, count: number, text: string): string {
  return `  ${kind.padEnd(11)}${String(count).padStart(5)}  ${text}`;
}

/** Sorts classifiers and other parts before the counters that every batch norm has. */
function tellingFirst(names: readonly string[]): readonly string[] {
  const isCounter = (name: string): boolean => name.endsWith('num_batches_tracked');
  return [...names.filter((name) => !isCounter(name)), ...names.filter(isCounter)];
}

function change(from: readonly number[], to: readonly number[]): string {
  return `[${from.join(', ')}] to [${to.join(', ')}]`;
}

function sample(names: readonly string[]): string {
  const rest = names.length - shown;
  return names.slice(0, shown).join(', ') + (rest > 0 ? `, and ${rest} more` : '');
}
