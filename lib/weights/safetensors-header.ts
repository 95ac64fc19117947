import { isObject } from '../check.js';
import type { CountenanceError } from '../errors.js';
import { findDuplicateKey } from './json-keys.js';

/** One tensor of a safetensors header; `begin` and `end` are byte offsets into the data. */
export interface HeaderEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** Bytes per element of every type of the format; sub-byte types are not supported. */
const elementBytes: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
  C64: 8,
};

/**
 * Parses and checks a safetensors header (https://github.com/huggingface/safetensors, "Format").
 *
 * @param bytes the JSON text
 * @param dataLength bytes that follow the header in the file
 * @param fail creates the error for a reason
 * @returns the tensors sorted by offset, covering [0, dataLength) exactly, and the metadata
 */
export function parseHeader(
  bytes: Uint8Array,
  dataLength: number,
  fail: (reason: string) => CountenanceError,
): { entries: HeaderEntry[]; metadata: Record<string, string> } {
  if (bytes[0] !== 0x7b) throw fail("its header does not start with '{'");
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (error) {
    throw fail(`its header is not JSON text (${error instanceof Error ? error.message : ''})`);
  }
  if (!isObject(header)) throw fail('its header is not a JSON object');
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) throw fail(`its header has the key '${duplicate}' twice`);

  const entries: HeaderEntry[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') metadata = parseMetadata(value, fail);
    else entries.push(parseEntry(name, value, fail));
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let expected = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== expected) {
      const what = begin < expected ? 'overlaps the tensor before it' : 'leaves a gap before it';
      throw fail(`tensor '${name}' ${what} (it starts at ${begin}, expected ${expected})`);
    }
    expected = end;
  }
  if (expected !== dataLength) {
    const what = expected > dataLength ? 'truncated' : 'trailing bytes';
    throw fail(`its tensors need ${expected} bytes of data, but ${dataLength} follow (${what})`);
  }
  return { entries, metadata };
}

function parseMetadata(
  value: unknown,
  fail: (reason: string) => CountenanceError,
): Record<string, string> {
  if (!isObject(value)) throw fail('__metadata__ is not an object');
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw fail(`__metadata__ field '${key}' is not a string`);
  }
  return value as Record<string, string>;
}

function parseEntry(
  name: string,
  value: unknown,
  fail: (reason: string) => CountenanceError,
): HeaderEntry {
  if (!isObject(value)) throw fail(`tensor '${name}' is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  for (const key of Object.keys(value)) {
    if (key !== 'dtype' && key !== 'shape' && key !== 'data_offsets') {
      throw fail(`tensor '${name}' has the unknown field '${key}'`);
    }
  }
  const size =
    typeof dtype === 'string' && Object.hasOwn(elementBytes, dtype)
      ? elementBytes[dtype]
      : undefined;
  if (typeof dtype !== 'string' || size === undefined)
    throw fail(`tensor '${name}' has the unknown dtype ${JSON.stringify(dtype)}`);
  if (!isSizes(shape)) throw fail(`tensor '${name}' has no valid shape`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw fail(`tensor '${name}' has no valid data_offsets`);
  }
  const [begin, end] = offsets as [number, number];
  const needed = byteLength(shape, size);
  if (end - begin !== needed) {
    const what = `[${shape.join(', ')}] of ${dtype} needs ${needed} bytes`;
    throw fail(`tensor '${name}' ${what}, but its offsets span ${end - begin}`);
  }
  return { name, dtype, shape, begin, end };
}

/** Size of a tensor in bytes; Infinity, which no offset equals, if the product is not an exact integer. */
function byteLength(shape: readonly number[], elementSize: number): number {
  if (shape.includes(0)) return 0;
  let bytes = elementSize;
  for (const dimension of shape) {
    bytes *= dimension;
    if (!Number.isSafeInteger(bytes)) return Infinity;
  }
  return bytes;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}
