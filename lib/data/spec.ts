import { statSync } from 'node:fs';
import { CountenanceError } from '../errors.js';

/** A parsed data set specification, `format:path[#split][,option=value...]`. */
export interface DataSpec {
  readonly text: string;
  readonly format: string;
  readonly path: string;
  readonly split?: string;
  readonly options: Readonly<Record<string, string>>;
}

/**
 * Parses `format:path[#split[,name=value...]]`, such as `ferplus:data#train`,
 * `ferplus:data#train,mode=crossentropy`, `synthetic:1500#train,seed=3`.
 *
 * @param formats the known formats, for messages and to tell a path from a format
 * @throws CountenanceError ERR_DATASET_FORMAT with an example of a specification
 */
export function parseDataSpec(text: string, formats: readonly string[]): DataSpec {
  const colon = text.indexOf(':');
  const format = colon < 0 ? '' : text.slice(0, colon).toLowerCase();
  if (!formats.includes(format)) throw unknownFormat(text, format, formats);
  const rest = text.slice(colon + 1);
  const hash = rest.lastIndexOf('#');
  const path = hash < 0 ? rest : rest.slice(0, hash);
  if (path === '') throw badSpec(text, `it has no path after '${format}:'`);

  const options: Record<string, string> = {};
  let split: string | undefined;
  for (const [i, part] of (hash < 0 ? [] : rest.slice(hash + 1).split(',')).entries()) {
    const equals = part.indexOf('=');
    if (equals > 0) options[part.slice(0, equals)] = part.slice(equals + 1);
    else if (i === 0 && part !== '') split = part;
    else throw badSpec(text, `'${part}' after '#' is neither a split nor option=value`);
  }
  return { text, format, path, options, ...(split !== undefined && { split }) };
}

/** The text of a specification; parsing it gives the same specification. */
export function formatSpec({ format, path, split, options }: Omit<DataSpec, 'text'>): string {
  const pairs = Object.entries(options).map(([name, value]) => `${name}=${value}`);
  const parts = [...(split === undefined ? [] : [split]), ...pairs];
  return parts.length === 0 ? `${format}:${path}` : `${format}:${path}#${parts.join()}`;
}

/** An ERR_DATASET_FORMAT for a specification. */
export function badSpec(text: string, reason: string): CountenanceError {
  return new CountenanceError('ERR_DATASET_FORMAT', `Data set '${text}' is not usable: ${reason}`);
}

/** Rejects options that the format does not know. */
export function checkSpecOptions(spec: DataSpec, known: readonly string[]): void {
  for (const name of Object.keys(spec.options)) {
    if (known.includes(name)) continue;
    const offer = known.length > 0 ? `its options are ${known.join(', ')}` : 'it has no options';
    throw badSpec(spec.text, `format '${spec.format}' has no option '${name}'; ${offer}`);
  }
}

function unknownFormat(text: string, format: string, formats: readonly string[]): CountenanceError {
  const isPath = statSync(text, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const hint = isPath
    ? `For a directory with one folder per class, write 'folder:${text}'.`
    : `Expected format:path[#split], such as 'folder:faces#train' or 'synthetic:1500'.`;
  const what = format === '' ? 'names no format' : `has the unknown format '${format}'`;
  return new CountenanceError(
    'ERR_DATASET_FORMAT',
    `Data set '${text}' ${what}. Formats are ${formats.join(', ')}. ${hint}`,
  );
}
