#pragma once

#include "backend/cpu/products/gemm.h"

// Where the rows of a product's first operand are. A source splits its rows into blocks; a Block,
// built in a worker's scratch memory, gives the address where each row is written and, tap by tap,
// where it is read. No source copies the whole image (no im2col): taps outside it read kZeros.

namespace countenance::COUNTENANCE_CPU {

// The maximum number of taps in a pointer table.
inline constexpr int64_t kMaxTaps = 64;

// The part of a block that does not depend on the source.
struct RowTable {
  // The table needs scratch for kMaxTaps + 1 pointers per row; `rest` is the scratch after it.
  RowTable(float* scratch, int64_t block_rows, int64_t row_count)
      : rows(row_count), run(row_count), stride(block_rows) {
    pointers = reinterpret_cast<const float**>(scratch);
    offsets = reinterpret_cast<int64_t*>(pointers + kMaxTaps * stride);
    rest = reinterpret_cast<float*>(offsets + stride);
  }
  static constexpr int64_t floats(int64_t block_rows) { return (kMaxTaps + 1) * block_rows * 2; }

  // Of the `taps` taps in the table, lists those that any of the rows begin .. end - 1 reads.
  int64_t list_taps(int32_t* list, int64_t taps, int64_t begin, int64_t end) const {
    int64_t count = 0;
    for (int64_t t = 0; t < taps; ++t) {
      const float* const* row = pointers + t * stride;
      int64_t r = begin;
      while (r < end && row[r] == kZeros) ++r;
      if (r < end) list[count++] = static_cast<int32_t>(t);
    }
    return count;
  }

  int64_t rows;
  int64_t run;             // consecutive rows that tiles are cut from
  int64_t stride;          // pointers from one tap to the next
  const float** pointers;  // [taps][stride]
  int64_t* offsets;        // of the output rows, in floats
  float* rest;
};

// Consecutive rows: linear layers and 1x1 convolutions.
struct PlainRows {
  // Whether every block but the last has block_rows rows.
  static constexpr bool kEvenBlocks = true;

  const float* x;  // (rows, depth)
  int64_t rows;
  int64_t depth;
  int64_t y_stride;
  int64_t block_rows;

  int64_t blocks() const { return divide_up(rows, block_rows); }
  // What a block reads.
  MemoryRange read(int64_t block) const {
    const int64_t first = block * block_rows;
    return {reinterpret_cast<const char*>(x + first * depth),
            std::min(block_rows, rows - first) * depth * int64_t{sizeof(float)}};
  }

  struct Block : RowTable {
    Block(const PlainRows& source, int64_t index, float* scratch)
        : RowTable(scratch, source.block_rows,
                   std::min(source.block_rows, source.rows - index * source.block_rows)),
          x(source.x + index * source.block_rows * source.depth),
          depth(source.depth) {
      const int64_t first = index * source.block_rows;
      for (int64_t r = 0; r < rows; ++r) offsets[r] = (first + r) * source.y_stride;
    }
    void fill(int64_t, int64_t, int64_t depth_begin) {
      for (int64_t r = 0; r < rows; ++r) pointers[r] = x + r * depth + depth_begin;
    }
    const float* x;
    int64_t depth;
  };
};

// One dimension of a convolution, indexed by the rows written: row a of `count` is pixel
// a * y_step + y_first of the output; its tap t reads the source's pixel
// a * step + origin + t * tap_step, valid from 0 to size - 1.
struct ConvAxis {
  int64_t count;
  int64_t y_first;
  int64_t y_step;
  int64_t step;
  int64_t origin;
  int64_t tap_step;
  int64_t size;
  int64_t taps;

  static ConvAxis forward(int64_t in, int64_t out, int64_t kernel, const Conv2dAttributes& conv) {
    return {out, 0, 1, conv.stride, -conv.padding, 1, in, kernel};
  }
  // The input pixels i with (i + padding) mod stride = taps.first. With i + padding =
  // stride q + taps.first, tap taps.first + stride t comes from output pixel q - t.
  static ConvAxis backward(int64_t in, int64_t out, const TapClass& taps,
                           const Conv2dAttributes& conv) {
    const int64_t s = conv.stride;
    const int64_t first = ((taps.first - conv.padding) % s + s) % s;
    return {first < in ? divide_up(in - first, s) : 0, first, s,   1,
            (first + conv.padding - taps.first) / s,   -1,    out, taps.count};
  }
};

// The rows of a convolution, forward or for its data gradient. Images are processed in groups, each
// pixel for all images of a group before the next pixel: a tap is then missing either for a whole
// tile, which skips it, or for none of its rows. With small images, many taps are skipped this way.
struct ConvRows {
  static constexpr bool kEvenBlocks = true;  // with group = 1

  const float* x;  // (batch, height.size, width.size, depth)
  int64_t batch;
  ConvAxis height;
  ConvAxis width;
  int64_t depth;
  int64_t y_height, y_width, y_channels;
  int64_t block_rows;
  int64_t group = 1;  // images

  int64_t pixels() const { return height.count * width.count; }
  int64_t groups() const { return divide_up(batch, group); }
  // With groups of one image, a block continues into the next image.
  int64_t block_pixels() const { return block_rows / group; }
  int64_t blocks() const {
    return group == 1 ? divide_up(batch * pixels(), block_rows)
                      : groups() * divide_up(pixels(), block_pixels());
  }
  // What a block of single images reads, except the lines above that the block before it has read.
  MemoryRange read(int64_t block) const {
    const int64_t line = width.size * depth * int64_t{sizeof(float)};
    const int64_t first = block * block_rows;
    const int64_t last = std::min(first + block_rows, batch * pixels()) - 1;
    const auto line_of = [&](int64_t row) {
      return row / pixels() * height.size + row % pixels() / width.count * height.step;
    };
    return {reinterpret_cast<const char*>(x) + line_of(first) * line,
            (line_of(last) - line_of(first) + 1) * line};
  }

  struct Block : RowTable {
    Block(const ConvRows& s, int64_t index, float* scratch)
        : RowTable(scratch, s.block_rows, 0), source(s) {
      base = reinterpret_cast<int64_t*>(rest);
      y0 = base + stride;
      x0 = y0 + stride;
      if (s.group == 1) {
        const int64_t first = index * s.block_rows;
        const int64_t count = std::min(s.block_rows, s.batch * s.pixels() - first);
        Pixel pixel(s, first / s.pixels(), first % s.pixels());
        for (; rows < count; pixel.next(s)) add(pixel);
        run = rows;
        return;
      }
      const int64_t pieces = divide_up(s.pixels(), s.block_pixels());
      const int64_t image = index / pieces * s.group;
      const int64_t images = std::min(s.group, s.batch - image);
      const int64_t first = index % pieces * s.block_pixels();
      const int64_t count = std::min(s.block_pixels(), s.pixels() - first);
      Pixel pixel(s, image, first);
      for (int64_t p = 0; p < count; ++p, pixel.next(s)) {
        for (pixel.image = image; pixel.image < image + images; ++pixel.image) add(pixel);
        pixel.image = image;
      }
      run = images;
    }

    struct Pixel {
      Pixel(const ConvRows& s, int64_t of_image, int64_t number)
          : image(of_image), row(number / s.width.count), column(number % s.width.count) {}
      void next(const ConvRows& s) {
        if (++column < s.width.count) return;
        column = 0;
        if (++row < s.height.count) return;
        row = 0;
        ++image;
      }
      int64_t image, row, column;
    };

    void add(const Pixel& pixel) {
      const ConvRows& s = source;
      const int64_t y = pixel.row * s.height.step + s.height.origin;
      const int64_t x = pixel.column * s.width.step + s.width.origin;
      y0[rows] = y;
      x0[rows] = x;
      base[rows] = ((pixel.image * s.height.size + y) * s.width.size + x) * s.depth;
      offsets[rows] =
          ((pixel.image * s.y_height + pixel.row * s.height.y_step + s.height.y_first) * s.y_width +
           pixel.column * s.width.y_step + s.width.y_first) *
          s.y_channels;
      ++rows;
    }

    void fill(int64_t tap_begin, int64_t taps, int64_t depth_begin) {
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t dy = (tap_begin + t) / source.width.taps * source.height.tap_step;
        const int64_t dx = (tap_begin + t) % source.width.taps * source.width.tap_step;
        const int64_t step = (dy * source.width.size + dx) * source.depth + depth_begin;
        const uint64_t height = static_cast<uint64_t>(source.height.size);
        const uint64_t width = static_cast<uint64_t>(source.width.size);
        const float** out = pointers + t * stride;
        for (int64_t r = 0; r < rows; ++r) {
          const bool inside = static_cast<uint64_t>(y0[r] + dy) < height &&
                              static_cast<uint64_t>(x0[r] + dx) < width;
          out[r] = inside ? source.x + (base[r] + step) : kZeros;
        }
      }
    }

    const ConvRows& source;
    int64_t* base;
    int64_t* y0;
    int64_t* x0;
  };
  static constexpr int64_t scratch_floats(int64_t block_rows) {
    return RowTable::floats(block_rows) + 3 * 2 * block_rows;
  }
};

// Zeroes the rows that a source of `channels` columns would write.
void clear_rows(const Workers& workers, float* y, const ConvRows& rows);

// The rows of a convolution with few channels (an image): a row of the kernel, kw Cin contiguous
// floats, counts as one tap. A block covers whole pieces of image rows and copies the part of the
// image under it, with its zero border, into scratch memory.
struct PaddedRows {
  // Whether every block but the last has block_rows rows.
  static constexpr bool kEvenBlocks = false;

  const float* x;  // (batch, height, width, channels)
  int64_t batch, height, width, channels;
  int64_t kernel_height, kernel_width;
  int64_t stride, padding;
  int64_t y_height, y_width, y_channels;
  int64_t block_height, block_width;  // output pixels; block_width < y_width only if height is 1

  static PaddedRows make(const float* x, const Shape& in, const Shape& weight, const Shape& out,
                         const Conv2dAttributes& conv, int64_t block_rows) {
    PaddedRows s{x,
                 in[0],
                 in[1],
                 in[2],
                 in[3],
                 weight[2],
                 weight[3],
                 conv.stride,
                 conv.padding,
                 out[1],
                 out[2],
                 weight[0],
                 1,
                 std::min(block_rows, out[2])};
    s.block_height = std::clamp<int64_t>(block_rows / s.block_width, 1, s.y_height);
    return s;
  }
  // Whether a kernel row is short enough to benefit and a block fits in the scratch memory.
  static bool suits(const Shape& weight, const Shape& out, const Conv2dAttributes& conv,
                    int64_t block_rows, int64_t scratch_floats) {
    const PaddedRows s = make(nullptr, Shape{1, 1, 1, weight[1]}, weight, out, conv, block_rows);
    return weight[1] <= 8 && weight[3] > 1 && weight[2] <= kMaxTaps && s.depth() <= kMaxDepth &&
           RowTable::floats(s.block_rows()) + s.copied_height() * s.copied_floats() <=
               scratch_floats;
  }

  int64_t depth() const { return kernel_width * channels; }
  int64_t block_rows() const { return block_height * block_width; }
  int64_t copied_height() const { return (block_height - 1) * stride + kernel_height; }
  int64_t copied_floats() const { return ((block_width - 1) * stride + kernel_width) * channels; }
  int64_t blocks_down() const { return divide_up(y_height, block_height); }
  int64_t blocks_across() const { return divide_up(y_width, block_width); }
  int64_t blocks() const { return batch * blocks_down() * blocks_across(); }
  MemoryRange read(int64_t) const { return {}; }

  struct Block : RowTable {
    Block(const PaddedRows& s, int64_t index, float* scratch)
        : RowTable(scratch, s.block_rows(), 0), source(s) {
      const int64_t across = index % s.blocks_across();
      const int64_t down = index / s.blocks_across() % s.blocks_down();
      const int64_t image = index / s.blocks_across() / s.blocks_down();
      const int64_t left = across * s.block_width;
      const int64_t top = down * s.block_height;
      columns = std::min(s.block_width, s.y_width - left);
      const int64_t lines = std::min(s.block_height, s.y_height - top);
      rows = lines * columns;
      run = rows;
      const int64_t first = (image * s.y_height + top) * s.y_width + left;
      for (int64_t l = 0, r = 0; l < lines; ++l) {
        for (int64_t c = 0; c < columns; ++c, ++r) {
          offsets[r] = (first + l * s.y_width + c) * s.y_channels;
        }
      }
      copy(image, top * s.stride - s.padding, left * s.stride - s.padding,
           (lines - 1) * s.stride + s.kernel_height);
    }

    // Copies the lines of the image from (y, x) on, with zeros outside the image.
    void copy(int64_t image, int64_t y, int64_t x, int64_t lines) {
      const PaddedRows& s = source;
      const int64_t length = s.copied_floats();
      const int64_t before = std::clamp<int64_t>(-x * s.channels, 0, length);
      const int64_t there =
          std::clamp<int64_t>((s.width - std::max<int64_t>(x, 0)) * s.channels, 0, length - before);
      for (int64_t l = 0; l < lines; ++l) {
        float* out = rest + l * length;
        if (y + l < 0 || y + l >= s.height || there == 0) {
          std::memset(out, 0, static_cast<size_t>(length) * sizeof(float));
          continue;
        }
        const float* in =
            s.x + ((image * s.height + y + l) * s.width + std::max<int64_t>(x, 0)) * s.channels;
        std::memset(out, 0, static_cast<size_t>(before) * sizeof(float));
        std::memcpy(out + before, in, static_cast<size_t>(there) * sizeof(float));
        std::memset(out + before + there, 0,
                    static_cast<size_t>(length - before - there) * sizeof(float));
      }
    }

    void fill(int64_t tap_begin, int64_t taps, int64_t depth_begin) {
      const int64_t length = source.copied_floats();
      for (int64_t t = 0; t < taps; ++t) {
        const float** out = pointers + t * stride;
        for (int64_t r = 0, l = 0; r < rows; ++l) {
          const float* line = rest + (l * source.stride + tap_begin + t) * length + depth_begin;
          for (int64_t c = 0; c < columns; ++c, ++r) {
            out[r] = line + c * source.stride * source.channels;
          }
        }
      }
    }

    const PaddedRows& source;
    int64_t columns;
  };
};

}  // namespace countenance::COUNTENANCE_CPU
