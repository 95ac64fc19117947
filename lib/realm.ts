import { types } from 'node:util';

/*
 * Values told by what they are, not by their constructor. Every realm (a test of Jest or of vitest's vmThreads,
 * a window of Electron, a context of node:vm) has constructors of its own, and `instanceof` knows only those of
 * the realm in which this module was loaded. Arrays are wrapped into this realm's, without a copy, so that
 * whatever follows (the addon, sharp) gets the arrays it expects.
 */

/** The bytes of a Uint8Array (such as a Buffer) or Uint8ClampedArray of any realm, or undefined. */
export function asBytes(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (!types.isUint8Array(value) && !types.isUint8ClampedArray(value)) return undefined;
  return new Uint8Array(value.buffer, value.byteOffset, value.length);
}

/** A Float32Array of any realm as one of this realm, or undefined. */
export function asFloats(value: unknown): Float32Array | undefined {
  if (value instanceof Float32Array) return value;
  if (!types.isFloat32Array(value)) return undefined;
  return new Float32Array(value.buffer, value.byteOffset, value.length);
}

/** True for an ArrayBuffer of any realm. */
export function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return types.isArrayBuffer(value);
}

/** True for a Map of any realm. */
export function isMap(value: unknown): value is Map<unknown, unknown> {
  return types.isMap(value);
}

/** True for a URL of any realm, or of jsdom. */
export function isUrl(value: unknown): value is URL {
  return Object.prototype.toString.call(value) === '[object URL]';
}

/** True for an AbortSignal of any realm, of jsdom, or of a package. */
export function isAbortSignal(value: unknown): value is AbortSignal {
  if (typeof value !== 'object' || value === null) return false;
  const { aborted, addEventListener, removeEventListener } = value as Partial<AbortSignal>;
  const functions = [addEventListener, removeEventListener];
  return typeof aborted === 'boolean' && functions.every((each) => typeof each === 'function');
}
