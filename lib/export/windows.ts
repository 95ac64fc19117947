/**
 * Positions of the tokens of window attention: pure index arithmetic, as in
 * native/backend/cpu/attention/window_attention.h. Tokens of a grid are counted row by row.
 */

/** A grid of tokens that is split into windows. */
export interface WindowGrid {
  readonly height: number;
  readonly width: number;
  /** Side of a window in tokens. */
  readonly window: number;
  /** How far the grid is rolled up and left before the split. */
  readonly shift: number;
}

/** The tokens of a grid in the order of its windows, row by row, and row by row within each. */
export function windowOrder({ height, width, window, shift }: WindowGrid): number[] {
  const order: number[] = [];
  for (let top = 0; top < height; top += window) {
    for (let left = 0; left < width; left += window) {
      for (let token = 0; token < window * window; token++) {
        const y = (top + Math.floor(token / window) + shift) % height;
        const x = (left + (token % window) + shift) % width;
        order.push(y * width + x);
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

/** The tokens in groups of 2 x 2, each group in the order in which patch merging concatenates them. */
export function mergeOrder(height: number, width: number): number[] {
  const order: number[] = [];
  for (let y = 0; y < height; y += 2) {
    for (let x = 0; x < width; x += 2) {
      order.push(y * width + x, (y + 1) * width + x, y * width + x + 1, (y + 1) * width + x + 1);
    }
  }
  return order;
}

/** Row of the bias table for each pair (query, key) of a window: the relative position index. */
export function relativePositions(window: number): number[] {
  const side = 2 * window - 1;
  const rows: number[] = [];
  for (let query = 0; query < window * window; query++) {
    for (let key = 0; key < window * window; key++) {
      const dy = Math.floor(query / window) - Math.floor(key / window) + window - 1;
      const dx = (query % window) - (key % window) + window - 1;
      rows.push(dy * side + dx);
    }
  }
  return rows;
}

/** Added to the score of two tokens that are not neighbours in the image. */
const masked = -100;

/**
 * The four masks (4, tokens, tokens) that a window of a rolled image can need: bit 0 of the first
 * index says that it is in the last row of windows, bit 1 in the last column, where parts from
 * opposite edges meet.
 */
export function windowMasks(window: number, shift: number): Float32Array {
  const tokens = window * window;
  const part = (kind: number, token: number): number => {
    const wrappedY = (kind & 1) !== 0 && Math.floor(token / window) >= window - shift;
    const wrappedX = (kind & 2) !== 0 && token % window >= window - shift;
    return (wrappedY ? 1 : 0) + (wrappedX ? 2 : 0);
  };
  const masks = new Float32Array(4 * tokens * tokens);
  let at = 0;
  for (let kind = 0; kind < 4; kind++) {
    for (let query = 0; query < tokens; query++) {
      for (let key = 0; key < tokens; key++) {
        masks[at++] = part(kind, query) === part(kind, key) ? 0 : masked;
      }
    }
  }
  return masks;
}

/** Which of {@link windowMasks} each window of a rolled grid needs. */
export function windowKinds({ height, width, window }: WindowGrid): number[] {
  const rows = height / window;
  const columns = width / window;
  return Array.from({ length: rows * columns }, (_, place) => {
    const lastRow = Math.floor(place / columns) === rows - 1;
    const lastColumn = place % columns === columns - 1;
    return (lastRow ? 1 : 0) + (lastColumn ? 2 : 0);
  });
}
