#pragma once

#include "backend/cpu/attention/small_matrix.h"

// Shared by the forward and backward passes of window attention: the locations of a window's
// tokens, their relative positions, the mask of shifted windows, packing into the worker's scratch.

namespace countenance::COUNTENANCE_CPU {

struct WindowLayout {
  WindowLayout(const Shape& qkv, const WindowAttentionAttributes& attributes)
      : height(qkv[1]),
        width(qkv[2]),
        heads(attributes.heads),
        window(attributes.window),
        shift(attributes.shift),
        channels(qkv[3] / 3),
        depth(channels / heads),
        tokens(window * window),
        rows(height / window),
        columns(width / window),
        windows(qkv[0] * rows * columns),
        padded_tokens(padded(tokens)),
        padded_depth(padded(depth)),
        table_rows((2 * window - 1) * (2 * window - 1)) {}

  // offsets[t]: index of token t of window w in the first three dimensions. The windows partition
  // the image rolled by -shift, so the token at rolled (y, x) is at (y + shift, x + shift).
  void find_tokens(int64_t* offsets, int64_t w) const {
    const int64_t image = w / (rows * columns);
    const int64_t top = w / columns % rows * window + shift;
    const int64_t left = w % columns * window + shift;
    for (int64_t v = 0; v < window; ++v) {
      const int64_t y = top + v < height ? top + v : top + v - height;
      for (int64_t u = 0; u < window; ++u) {
        const int64_t x = left + u < width ? left + u : left + u - width;
        *offsets++ = (image * height + y) * width + x;
      }
    }
  }

  // Row of the bias table for query i and key j: Swin's relative position index.
  int64_t relative_position(int64_t i, int64_t j) const {
    const int64_t dy = i / window - j / window + window - 1;
    const int64_t dx = i % window - j % window + window - 1;
    return dy * (2 * window - 1) + dx;
  }

  // In a shifted image, the last row and the last column of windows contain parts that are not
  // adjacent in the image. kind: bit 0 in the last row, bit 1 in the last column; 0: no mask.
  int64_t kind(int64_t w) const {
    if (shift == 0) return 0;
    return (w / columns % rows == rows - 1 ? 1 : 0) + (w % columns == columns - 1 ? 2 : 0);
  }
  // Which edges token t of such a window wrapped around, by rows and by columns.
  int64_t part(int64_t kind, int64_t t) const {
    const bool wrapped_y = (kind & 1) && t / window >= window - shift;
    const bool wrapped_x = (kind & 2) && t % window >= window - shift;
    return (wrapped_y ? 1 : 0) + (wrapped_x ? 2 : 0);
  }

  int64_t score_elements() const { return tokens * padded_tokens; }

  int64_t height, width, heads, window, shift, channels, depth, tokens, rows, columns, windows;
  int64_t padded_tokens, padded_depth, table_rows;
};

// The windows, cut into slices for the gradient of the bias table.
// With few windows per slice, gathering dS by position costs more than the parallelism gains.
inline Slices attention_slices(const WindowLayout& layout) {
  return {layout.windows, layout.windows / 4};
}

// Added to the scores of keys that do not exist: their probability and gradient are 0.
inline constexpr float kNoKey = -1e30f;
// Swin's mask between tokens that are not neighbours.
inline constexpr float kMasked = -100.0f;

// The workspace begins with the additive terms of the scores, each tokens x padded_tokens: one per
// head (relative position bias), then one per kind of window (mask).
struct ScoreTerms {
  ScoreTerms(const WindowLayout& layout, float* workspace)
      : bias(workspace), mask(workspace + layout.heads * layout.score_elements()) {}
  static int64_t elements(const WindowLayout& layout) {
    return (layout.heads + (layout.shift ? 4 : 0)) * layout.score_elements();
  }
  void fill(const WindowLayout& layout, const float* table, ThreadPool& pool) const;

  float* bias;
  float* mask;
};

// out (tokens x padded_depth) = factor * the head's slice of a (B, H, W, stride) tensor.
void pack_rows(float* out, const float* data, int64_t stride, const WindowLayout& layout,
               const int64_t* offsets, float factor);
// out (depth x padded_tokens) = its transpose.
void pack_transposed(float* out, const float* data, int64_t stride, const WindowLayout& layout,
                     const int64_t* offsets);

// Prefetches a head's slice of a window: the slices of a token's heads are too far apart for the
// processor to predict.
inline void prefetch_rows(const float* data, int64_t stride, const WindowLayout& layout,
                          const int64_t* offsets) {
  constexpr int64_t kLine = 16;
  for (int64_t t = 0; t < layout.tokens; ++t) {
    const float* row = data + offsets[t] * stride;
    for (int64_t d = 0; d < layout.depth; d += kLine) __builtin_prefetch(row + d, 0, 2);
  }
}

// One row of scores with the bias and, for a window with a mask, the mask.
struct RowTerms {
  RowTerms(const ScoreTerms& terms, const WindowLayout& layout, int64_t head, int64_t kind)
      : bias(terms.bias + head * layout.score_elements()),
        mask(kind ? terms.mask + kind * layout.score_elements() : nullptr) {}
  Vec add(Vec score, int64_t i) const {
    const Vec s = score + Vec::load(bias + i);
    return mask ? s + Vec::load(mask + i) : s;
  }

  const float* bias;
  const float* mask;
};

}  // namespace countenance::COUNTENANCE_CPU
