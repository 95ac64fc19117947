/**
 * Where Swin's tokens stand: pure index arithmetic, as native/backend/cpu/window_attention.h does it.
 * Tokens of a grid are counted row by row.
 */

/** Tokens a side of a window. */
export const windowSize = 7;
/** Tokens of a window. */
export const windowTokens = windowSize * windowSize;

/**
 * The tokens of a `grid` x `grid` picture in the order of the windows (row by row, and row by row within
 * each) that cut it after it was rolled by -`shift` along both axes.
 */
export function windowOrder(grid: number, shift: number): number[] {
  const order: number[] = [];
  for (let top = 0; top < grid; top += windowSize) {
    for (let left = 0; left < grid; left += windowSize) {
      for (let token = 0; token < windowTokens; token++) {
        const y = (top + Math.floor(token / windowSize) + shift) % grid;
        const x = (left + (token % windowSize) + shift) % grid;
        order.push(y * grid + x);
      }
    }
  }
  return order;
}

/** The order that undoes `order`. */
export function inverseOrder(order: readonly number[]): number[] {
  const inverse = new Array<number>(order.length);
  order.forEach((place, i) => (inverse[place] = i));
  return inverse;
}

/** The tokens in groups of 2 x 2, each group in the order that patch merging concatenates them in. */
export function mergeOrder(grid: number): number[] {
  const order: number[] = [];
  for (let y = 0; y < grid; y += 2) {
    for (let x = 0; x < grid; x += 2) {
      order.push(y * grid + x, (y + 1) * grid + x, y * grid + x + 1, (y + 1) * grid + x + 1);
    }
  }
  return order;
}

/** Row of the bias table for each pair (query, key) of a window: the relative position index. */
export function relativePositions(): number[] {
  const side = 2 * windowSize - 1;
  const rows: number[] = [];
  for (let query = 0; query < windowTokens; query++) {
    for (let key = 0; key < windowTokens; key++) {
      const dy = Math.floor(query / windowSize) - Math.floor(key / windowSize) + windowSize - 1;
      const dx = (query % windowSize) - (key % windowSize) + windowSize - 1;
      rows.push(dy * side + dx);
    }
  }
  return rows;
}

/** What is added to the score of two tokens that are no neighbours in the picture. */
const masked = -100;

/**
 * The four masks (4, 49, 49) that a window of a rolled picture can need: bit 0 of the first index says
 * that it lies in the last row of windows, bit 1 in the last column, where parts from opposite edges
 * meet.
 */
export function windowMasks(shift: number): Float32Array {
  const part = (kind: number, token: number): number => {
    const wrappedY = (kind & 1) !== 0 && Math.floor(token / windowSize) >= windowSize - shift;
    const wrappedX = (kind & 2) !== 0 && token % windowSize >= windowSize - shift;
    return (wrappedY ? 1 : 0) + (wrappedX ? 2 : 0);
  };
  const masks = new Float32Array(4 * windowTokens * windowTokens);
  let at = 0;
  for (let kind = 0; kind < 4; kind++) {
    for (let query = 0; query < windowTokens; query++) {
      for (let key = 0; key < windowTokens; key++) {
        masks[at++] = part(kind, query) === part(kind, key) ? 0 : masked;
      }
    }
  }
  return masks;
}

/** Which of {@link windowMasks} each window of the grid needs. */
export function windowKinds(grid: number): number[] {
  const side = grid / windowSize;
  return Array.from({ length: side * side }, (_, window) => {
    const lastRow = Math.floor(window / side) === side - 1;
    const lastColumn = window % side === side - 1;
    return (lastRow ? 1 : 0) + (lastColumn ? 2 : 0);
  });
}
