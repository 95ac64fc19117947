// Writes lib/description.ts: the native core's description of itself, as TypeScript. Run it after changing
// a table in native/ (`npm run describe`). With --check it only reports whether it is up to date.
import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { root } from './steps.mjs';

const shown = (value) => (Array.isArray(value) ? `[${value.join(', ')}]` : String(value));

/** `SGD 0.1, AdamW 0.2`, or only the value if all agree. */
function shownDefaults(owners) {
  const values = [...new Set(owners.map(({ option }) => shown(option.default)))];
  if (values.length === 1) return values[0];
  return owners.map(({ label, option }) => `${label} ${shown(option.default)}`).join(', ');
}

const types = { number: 'number', pair: 'readonly [number, number]', switch: 'boolean' };

/** A field of an interface of options; `owners` are the optimizers that have it, none means all. */
function field(option, owners = []) {
  const who = owners.length > 0 ? `${owners.map(({ label }) => label).join(', ')} only: ` : '';
  const text = who + option.help;
  const range = option.range ? `, ${option.range}` : '';
  const fallback = owners.length > 0 ? shownDefaults(owners) : shown(option.default);
  const type = types[option.kind] ?? option.choices.map((name) => `'${name}'`).join(' | ');
  return `/** ${text.charAt(0).toUpperCase()}${text.slice(1)}${range}. Default ${fallback}. */\nreadonly ${option.name}?: ${type};`;
}

/** The text of lib/description.ts. */
async function describedSource(description) {
  const owners = new Map();
  for (const { label, options } of description.optimizers) {
    for (const option of options) {
      owners.set(option.name, [...(owners.get(option.name) ?? []), { label, option }]);
    }
  }
  const text = `// Made by \`npm run describe\` from the tables in native/: do not edit.

/** What the core offers, as \`describe()\` of the addon gives it. */
export const description = ${JSON.stringify(description)} as const;

/** The kinds of devices. */
export type DeviceName = ${description.devices.map(({ name }) => `'${name}'`).join(' | ')};

/** The image encoders. */
export type Backbone = ${description.encoders.map(({ name }) => `'${name}'`).join(' | ')};

/** The optimizers. */
export type OptimizerName = ${description.optimizers.map(({ name }) => `'${name}'`).join(' | ')};

/** Options that only some optimizers have. Names and meanings are PyTorch's. */
export interface OptimizerSettings {
${[...owners.values()].map((list) => field(list[0].option, list)).join('\n')}
}

/** Options of the loss. */
export interface ObjectiveOptions {
${description.objectiveOptions.map((option) => field(option)).join('\n')}
}

/** The terms of the loss, without their weights. */
export interface LossTerms {
${description.lossTerms.map(({ name, symbol, help }) => `/** ${symbol}, ${help}. */\nreadonly ${name}: number;`).join('\n')}
}
`;
  const file = join(root, 'lib/description.ts');
  return format(text, { ...(await resolveConfig(file)), filepath: file });
}

const { loadBinding } = createRequire(import.meta.url)('../lib/binding.cjs');
const source = await describedSource(loadBinding().describe());
const path = join(root, 'lib/description.ts');
if (!process.argv.includes('--check')) {
  writeFileSync(path, source);
} else if (readFileSync(path, 'utf8') !== source) {
  console.error('lib/description.ts is not what the core says of itself: run `npm run describe`');
  process.exitCode = 1;
}
