#pragma once

#include "backend/cuda/device/kernel_types.h"
#include "backend/cuda/frames/divisor.h"

// Where the numbers of a product's operand are. A Source is a matrix in which the numbers of a row
// are contiguous, at least in chunks of 16 bytes when it is `Whole`:
//   Row row(int i), Column column(int j)       what is worth keeping of an index; any is valid
//   const T* at(const Row&, const Column&)     null: a zero (padding, beyond the end)
//   const T* somewhere()                       any address that can be read

namespace countenance::cuda {

// The direction in which an operand's numbers are contiguous: along the depth of the product, or
// across it.
enum class Major { Depth, Width };

// Numbers in 16 bytes.
template <class T>
inline constexpr int kChunk = 16 / sizeof(T);

// An index that stays out of range, however much is added to it.
inline constexpr int kOutside = -(1 << 29);

// A matrix (rows, columns) with `pitch` numbers from row to row.
template <class T, bool Whole>
struct PlainRows {
  using Element = T;
  static constexpr bool kWhole = Whole;
  using Row = int64_t;
  using Column = int;

  const T* numbers;
  int rows, columns;
  int64_t pitch;

  __device__ __forceinline__ Row row(int i) const { return i < rows ? i * pitch : -1; }
  __device__ __forceinline__ Column column(int j) const { return j; }
  __device__ __forceinline__ const T* at(Row row, Column column) const {
    return row >= 0 && column < columns ? numbers + (row + column) : nullptr;
  }
  __device__ __forceinline__ const T* somewhere() const { return numbers; }
};

// One direction of a convolution: pixel u of the grid meets tap t at position
//   u step + offset + t tap_step
// of an image of `size` offsets.
struct ConvAxis {
  int size;
  int step, offset, tap_step;
  Divisor grid;  // pixels of the grid
  Divisor taps;
};

// The matrix of a convolution: one row for each pixel of a grid on each image (B, H, W, C),
// containing the kernel's taps, each with its C channels.
template <class T, bool Whole>
struct ConvRows {
  using Element = T;
  static constexpr bool kWhole = Whole;
  struct Row {
    int64_t start;  // of tap (0, 0), which may lie outside of the image
    int y, x;
  };
  struct Column {
    int offset;  // of the tap and channel from `start`
    int y, x;
  };

  const T* images;
  ConvAxis y, x;
  Divisor channels;
  int rows, columns;

  __device__ __forceinline__ Row row(int i) const {
    if (i >= rows) return {0, kOutside, kOutside};
    const Division across(i, x.grid);
    const Division down(across.quotient, y.grid);
    const int top = down.rest * y.step + y.offset;
    const int left = across.rest * x.step + x.offset;
    const int64_t pixel = (static_cast<int64_t>(down.quotient) * y.size + top) * x.size + left;
    return {pixel * static_cast<int>(channels.value), top, left};
  }
  __device__ __forceinline__ Column column(int j) const {
    if (j >= columns) return {0, kOutside, kOutside};
    const Division by_channel(j, channels);
    const Division by_tap(by_channel.quotient, x.taps);
    const int down = by_tap.quotient * y.tap_step;
    const int across = by_tap.rest * x.tap_step;
    const int pixels = down * x.size + across;
    return {pixels * static_cast<int>(channels.value) + by_channel.rest, down, across};
  }
  __device__ __forceinline__ const T* at(const Row& row, const Column& column) const {
    const bool inside = static_cast<unsigned>(row.y + column.y) < static_cast<unsigned>(y.size) &&
                        static_cast<unsigned>(row.x + column.x) < static_cast<unsigned>(x.size);
    return inside ? images + (row.start + column.offset) : nullptr;
  }
  __device__ __forceinline__ const T* somewhere() const { return images; }
};

// The weights of a data gradient: row (tap, output), column input, from a packed weight. The taps
// are every `stride`-th of the kernel's, from `first` on.
template <class T, bool Whole>
struct TapRows {
  using Element = T;
  static constexpr bool kWhole = Whole;
  using Row = int64_t;
  using Column = int;

  const T* packed;
  int64_t pitch;
  Divisor out;
  int in;
  int kernel_width, stride;
  int first_y, first_x;
  Divisor taps_x;
  int rows;

  __device__ __forceinline__ Row row(int i) const {
    if (i >= rows) return -1;
    const Division by_output(i, out);
    const Division by_tap(by_output.quotient, taps_x);
    const int tap =
        (first_y + by_tap.quotient * stride) * kernel_width + first_x + by_tap.rest * stride;
    return by_output.rest * pitch + tap * in;
  }
  __device__ __forceinline__ Column column(int j) const { return j; }
  __device__ __forceinline__ const T* at(Row row, Column column) const {
    return row >= 0 && column < in ? packed + (row + column) : nullptr;
  }
  __device__ __forceinline__ const T* somewhere() const { return packed; }
};

}  // namespace countenance::cuda
