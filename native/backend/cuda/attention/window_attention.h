#pragma once

#include <cmath>

#include "backend/attributes.h"
#include "backend/cuda/frames/elementwise.h"

// Shared by the kernels of window attention: the locations of a window's tokens, their relative
// positions, the mask of shifted windows, and the assignment of windows to blocks. A block stays
// with one head and iterates over a slice of the windows.

namespace countenance::cuda {

// The shared memory that a block can request on every device since compute capability 8.0: 8.0 and
// 9.0 allow more, 8.6 and 12.0 do not.
inline constexpr size_t kMostSharedBytes = 99 * 1024;

// Swin's mask between tokens that are not neighbours.
inline constexpr float kMasked = -100.0f;

// The position of a window: tokens are at (top + v, left + u) with v, u < window, both modulo the
// image's size, because the windows partition the image rolled by -shift.
struct Window {
  int image;
  int top, left;
  // In a shifted image, the last row and the last column of windows contain parts that are not
  // adjacent in the image. Bit 0: in the last row, bit 1: in the last column; 0: no mask.
  int kind;
};

struct AttentionLayout {
  AttentionLayout(const Shape& qkv, const WindowAttentionAttributes& attributes)
      : height(static_cast<int>(qkv[1])),
        width(static_cast<int>(qkv[2])),
        heads(static_cast<int>(attributes.heads)),
        window(static_cast<int>(attributes.window)),
        shift(static_cast<int>(attributes.shift)),
        channels(static_cast<int>(qkv[3] / 3)),
        depth(channels / heads),
        tokens(window * window),
        rows(height / window),
        columns(width / window),
        windows(static_cast<int>(qkv[0] * rows * columns)),
        table_rows((2 * window - 1) * (2 * window - 1)),
        scale(1.0f / std::sqrt(static_cast<float>(depth))) {}

  __device__ __forceinline__ Window find(int w) const {
    const int column = w % columns;
    const int row = w / columns % rows;
    const int edges = (row == rows - 1 ? 1 : 0) + (column == columns - 1 ? 2 : 0);
    return {w / columns / rows, row * window + shift, column * window + shift, shift ? edges : 0};
  }

  // Index of a window's token among the pixels of its image.
  __device__ __forceinline__ int pixel(const Window& place, int v, int u) const {
    const int y = place.top + v;
    const int x = place.left + u;
    return (y < height ? y : y - height) * width + (x < width ? x : x - width);
  }
  // Offset of a pixel's first number in a tensor (B, H, W, width of a row).
  __device__ __forceinline__ int64_t offset(const Window& place, int pixel, int row_width) const {
    return (static_cast<int64_t>(place.image) * height * width + pixel) * row_width;
  }
  // Offset of the first number of a head's image in log_sum_exp (B, heads, H, W).
  __device__ __forceinline__ int64_t head_image(const Window& place, int head) const {
    return (static_cast<int64_t>(place.image) * heads + head) * height * width;
  }

  // Swin's relative position index of query i and key j is position(i) - position(j) plus
  // the row of a token with itself.
  __device__ __forceinline__ int position(int v, int u) const { return v * (2 * window - 1) + u; }
  __device__ __forceinline__ int same_position() const { return (table_rows - 1) / 2; }

  // Which edges a token of an edge window wrapped around: bit 0 by rows, bit 1 by columns.
  __device__ __forceinline__ int part(int v, int u) const {
    return (v >= window - shift ? 1 : 0) + (u >= window - shift ? 2 : 0);
  }

  int height, width, heads, window, shift, channels, depth, tokens, rows, columns, windows;
  int table_rows;  // of the bias table
  float scale;
};

// Assignment of windows to blocks: block b processes head b % heads of slice b / heads.
struct AttentionSlices {
  AttentionSlices(const AttentionLayout& layout, int windows_each)
      : each(windows_each), count(divide_up(layout.windows, windows_each)) {}

  __device__ __forceinline__ int begin(const AttentionLayout& layout) const {
    return static_cast<int>(blockIdx.x) / layout.heads * each;
  }
  __device__ __forceinline__ int end(const AttentionLayout& layout) const {
    return min(begin(layout) + each, layout.windows);
  }
  dim3 grid(const AttentionLayout& layout) const {
    return dim3(static_cast<unsigned>(count) * static_cast<unsigned>(layout.heads));
  }

  int each, count;
};

// In the backward pass, every slice writes its share of the table's gradient, so the number of
// slices depends on the shapes only. Three or more windows overlap loading with arithmetic; beyond
// that, there are enough blocks for the largest device.
inline AttentionSlices backward_slices(const AttentionLayout& layout) {
  const int64_t tasks = static_cast<int64_t>(layout.windows) * layout.heads;
  return {layout, static_cast<int>(std::clamp<int64_t>(tasks / 1024, 3, 64))};
}

// No result of the forward pass depends on the slices: one wave of blocks.
inline AttentionSlices forward_slices(const AttentionLayout& layout, const Queue& queue) {
  const int64_t tasks = static_cast<int64_t>(layout.windows) * layout.heads;
  return {layout, static_cast<int>(
                      std::clamp<int64_t>(tasks / (int64_t{4} * queue.multiprocessors), 1, 16))};
}

// Loads a head's column of the bias table, times factor, into shared memory. Must be followed by a
// barrier.
__device__ __forceinline__ void stage_table(float* head_table, const float* table, int head,
                                            const AttentionLayout& layout, float factor) {
  for (int r = static_cast<int>(threadIdx.x); r < layout.table_rows;
       r += static_cast<int>(blockDim.x)) {
    head_table[r] = factor * table[r * layout.heads + head];
  }
}

// What the kernels read and write, as plain pointers; null where a tensor is absent.
template <class T>
struct AttentionForward {
  T* y;
  float* log_sum_exp;
  const T* qkv;
  const float* bias_table;
};
template <class T>
struct AttentionBackward {
  T* dqkv;
  bool accumulates;
  float* tables;  // (slices, heads, table_rows): each slice's share of the table's gradient
  const T* dy;
  const T* qkv;
  const float* log_sum_exp;
  const float* bias_table;
};

// Sums dS of the pairs of tokens whose relative position is row r of the table.
// at(i, j): dS of query i and key j.
template <class At>
__device__ __forceinline__ float gather_position(int r, int window, At at) {
  const int dv = r / (2 * window - 1) - (window - 1);
  const int du = r % (2 * window - 1) - (window - 1);
  float sum = 0;
  for (int v = max(0, dv); v < min(window, window + dv); ++v) {
    for (int u = max(0, du); u < min(window, window + du); ++u) {
      sum += at(v * window + u, (v - dv) * window + u - du);
    }
  }
  return sum;
}

// In the backward pass: a block's share of the table's gradient.
__device__ __forceinline__ float* block_table(float* tables, const AttentionLayout& layout) {
  return tables + static_cast<int64_t>(blockIdx.x) * layout.table_rows;
}

}  // namespace countenance::cuda
