import type { InitializeReport } from '../model/initialize.js';

/** How many names of each kind are shown; the JSON record has them all. */
const shown = 3;

/** What `--init` took from a file and what it did not, one line per kind. */
export function initReport(file: string, report: InitializeReport): string {
  const { source, prefix, matched, reshaped, missing, mismatched, unexpected, ignored } = report;
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
  ];
  const lines = kinds
    .filter(([kind, names]) => kind === 'matched' || names.length > 0)
    .map(
      ([kind, names]) =>
        `  ${kind.padEnd(11)}${String(names.length).padStart(5)}  ${sample(names)}`,
    );
  return [`${file}: ${source}${prefix && `, under '${prefix}'`}`, ...lines].join('\n');
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
