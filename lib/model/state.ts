import { invalidArgument } from '../check.js';
import { CountenanceError } from '../errors.js';
import { callNative } from '../load-native.js';
import type { NativeModel, NativeTensorInfo } from '../native.js';
import { asFloats, isMap } from '../realm.js';
import { checkElements, type StateDict, type TensorData } from '../types.js';
import type { ShapeMismatch } from '../weights/names/match.js';

/** How the names and shapes of a state dict differ from a model's. */
export interface StateDifference {
  /** Names of the model that the state dict lacks. */
  readonly missing: readonly string[];
  /** Names that the model does not know. */
  readonly unexpected: readonly string[];
  readonly mismatched: readonly ShapeMismatch[];
}

/** PyTorch's count of batches seen by a batch norm: of no use here, passed over in every state dict. */
function isIgnored(name: string): boolean {
  return name === 'num_batches_tracked' || name.endsWith('.num_batches_tracked');
}

/** Compares a state dict with a model; also says which tensors fit. */
export function compareState(
  tensors: readonly NativeTensorInfo[],
  state: ReadonlyMap<string, TensorData>,
): StateDifference & { readonly fitting: readonly string[] } {
  const known = new Set(tensors.map(({ name }) => name));
  const missing: string[] = [];
  const mismatched: ShapeMismatch[] = [];
  const fitting: string[] = [];
  for (const { name, shape } of tensors) {
    const tensor = state.get(name);
    if (!tensor) missing.push(name);
    else if (tensor.shape.join() === shape.join()) fitting.push(name);
    else mismatched.push({ name, expected: shape, received: tensor.shape });
  }
  const unexpected = [...state.keys()].filter((name) => !known.has(name) && !isIgnored(name));
  return { missing, unexpected, mismatched, fitting };
}

/** ERR_SHAPE_MISMATCH that lists every name, or undefined where all is well. */
export function differenceError(
  difference: StateDifference,
  what: string,
): CountenanceError | undefined {
  const { missing, unexpected, mismatched } = difference;
  const parts = [
    missing.length > 0 ? `missing: ${missing.join(', ')}` : '',
    unexpected.length > 0 ? `unexpected: ${unexpected.join(', ')}` : '',
    mismatched.length > 0 ? `other shapes: ${listShapes(mismatched)}` : '',
  ].filter((part) => part !== '');
  if (parts.length === 0) return undefined;
  return new CountenanceError(
    'ERR_SHAPE_MISMATCH',
    `${what} does not fit the model. ${parts.join('; ')}`,
  );
}

/** `conv1.weight ([64, 3, 7, 7] but [64, 3, 3, 3]), ...`. */
export function listShapes(mismatched: readonly ShapeMismatch[]): string {
  return mismatched
    .map(
      ({ name, expected, received }) =>
        `${name} ([${expected.join(', ')}] but [${received.join(', ')}])`,
    )
    .join(', ');
}

/** Checks that a value is a map of tensors with as many values as their shapes say. */
export function checkTensors(
  state: unknown,
  what: string,
): asserts state is ReadonlyMap<string, TensorData> {
  if (!isMap(state)) throw invalidArgument('a Map of tensors by name', what, state);
  for (const [name, tensor] of state as Map<string, Partial<TensorData> | null>) {
    const { shape } = tensor ?? {};
    const data = asFloats(tensor?.data);
    if (!Array.isArray(shape) || !data) {
      throw invalidArgument('{ shape, data: Float32Array }', `'${name}' of ${what}`, tensor);
    }
    checkElements({ shape: shape as number[], data }, `'${name}' of ${what}`);
  }
}

/** {@link checkTensors}, and that all values are finite; yields the elements of each tensor. */
export function* checkState(state: unknown, what: string): Generator<number> {
  checkTensors(state, what);
  for (const [name, { data }] of state) {
    if (!isIgnored(name) && !allFinite(data)) {
      throw new CountenanceError(
        'ERR_NOT_FINITE',
        `Tensor '${name}' of ${what} holds NaN or infinity`,
      );
    }
    yield data.length;
  }
}

function allFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value - value !== 0) return false; // NaN for NaN and infinity; far faster than every()
  }
  return true;
}

/** Copies tensors into the model; yields the elements of each. */
export function* writeState(
  native: NativeModel,
  state: ReadonlyMap<string, TensorData>,
  names: Iterable<string>,
): Generator<number> {
  for (const name of names) {
    const { data } = state.get(name)!;
    callNative(() => native.writeTensor(name, data));
    yield data.length;
  }
}

/** Copies all tensors out of the model, into `state`; yields the elements of each. */
export function* readState(native: NativeModel, state: StateDict): Generator<number> {
  for (const { name, shape } of callNative(() => native.tensors())) {
    const data = callNative(() => native.readTensor(name));
    state.set(name, { shape, data });
    yield data.length;
  }
}
