import { elementsPerTurn, inSlices } from '../turns.js';
import { elementCount } from '../types.js';

/**
 * The values of a strided view in row-major order: element (i, j, ..) is `values[i strides[0] + j
 * strides[1] + ..]`. Values that are already in this order are returned as they are.
 */
export async function toRowMajor(
  values: Float32Array,
  shape: readonly number[],
  strides: readonly number[],
): Promise<Float32Array> {
  if (isRowMajor(shape, strides)) return values;
  const result = new Float32Array(elementCount(shape));
  if (result.length === 0) return result;
  const inner = shape.length - 1;
  const [columns, step] = [shape[inner]!, strides[inner]!];
  const index = new Array<number>(shape.length).fill(0);
  let row = 0; // where the current row starts in `values`
  const gather = (start: number, end: number): void => {
    for (let done = start * columns; done < end * columns; done += columns) {
      for (let j = 0; j < columns; j++) result[done + j] = values[row + j * step]!;
      row = nextRow(index, row, shape, strides);
    }
  };
  await inSlices(result.length / columns, gather, Math.ceil(elementsPerTurn / columns));
  return result;
}

/** Advances the outer indices by one, like an odometer; returns where that row starts. */
function nextRow(
  index: number[],
  row: number,
  shape: readonly number[],
  strides: readonly number[],
): number {
  for (let d = shape.length - 2; d >= 0; d--) {
    index[d]! += 1;
    row += strides[d]!;
    if (index[d]! < shape[d]!) break;
    row -= index[d]! * strides[d]!;
    index[d] = 0;
  }
  return row;
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && strides[d] !== expected) return false;
    expected *= shape[d]!;
  }
  return true;
}
