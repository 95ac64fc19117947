#include "core/resize.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/error.h"

namespace countenance {

namespace {

// Rows between the two passes are computed for one strip of columns at a time, so that a strip
// stays in the cache and memory stays bounded for any image.
constexpr int64_t kStripBytes = 1 << 20;

template <int kChannels>
void resample_row(uint8_t* out, const uint8_t* in, const ResizeWindow* windows, int64_t count,
                  const int32_t* weights) {
  for (int64_t x = 0; x < count; ++x) {
    const ResizeWindow window = windows[x];
    const int32_t* w = weights + window.weights;
    const uint8_t* pixel = in + int64_t{window.first} * kChannels;
    int32_t sums[kChannels];
    for (int32_t& sum : sums) sum = kResizeHalf;
    for (int32_t t = 0; t < window.taps; ++t, pixel += kChannels) {
      for (int c = 0; c < kChannels; ++c) sums[c] += pixel[c] * w[t];
    }
    for (int c = 0; c < kChannels; ++c) *out++ = resize_pixel(sums[c]);
  }
}

// out[i] = sum_t weights[t] in[t][i] over `count` bytes, the rows `stride` bytes apart.
void blend_rows(uint8_t* out, const uint8_t* in, int64_t stride, const int32_t* weights,
                int32_t taps, int64_t count) {
  constexpr int64_t kBlock = 64;  // sums stay in registers
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = std::min(kBlock, count - begin);
    int32_t sums[kBlock];
    for (int32_t& sum : sums) sum = kResizeHalf;
    for (int32_t t = 0; t < taps; ++t) {
      const uint8_t* row = in + t * stride + begin;
      const int32_t weight = weights[t];
      for (int64_t i = 0; i < n; ++i) sums[i] += row[i] * weight;
    }
    for (int64_t i = 0; i < n; ++i) out[begin + i] = resize_pixel(sums[i]);
  }
}

}  // namespace

void check_image_side(const char* name, int64_t side) {
  require(side >= 1 && side <= kMaxImageSide, "Expected a number from 1 to ", kMaxImageSide,
          " for the ", name, " of an image but received ", side);
}

Resizer::Resizer(int64_t out_width, int64_t out_height, int64_t width, int64_t height,
                 int64_t channels)
    : out_width_(out_width),
      out_height_(out_height),
      width_(width),
      height_(height),
      channels_(channels) {
  check_image_side("new width", out_width);
  check_image_side("new height", out_height);
  check_image_side("width", width);
  check_image_side("height", height);
  if (channels < 1 || channels > kMaxImageChannels) {
    fail(code::kImageChannels, "Expected 1 to ", kMaxImageChannels,
         " channels for an image but received ", channels);
  }
  if (out_width != width) horizontal_ = make_resize_axis(out_width, width);
  if (out_height != height) vertical_ = make_resize_axis(out_height, height);
}

void Resizer::run(uint8_t* out, const uint8_t* in) const {
  const bool horizontal = !horizontal_.windows.empty();
  const bool vertical = !vertical_.windows.empty();
  const int64_t out_row = out_width_ * channels_;
  if (!horizontal && !vertical) {
    std::memcpy(out, in, static_cast<size_t>(out_row * out_height_));
    return;
  }
  const auto resample = channels_ == 1   ? resample_row<1>
                        : channels_ == 2 ? resample_row<2>
                        : channels_ == 3 ? resample_row<3>
                                         : resample_row<4>;
  // Columns of a strip: rows in between are needed only if there are two passes.
  int64_t columns = out_width_;
  std::unique_ptr<uint8_t[]> between;
  if (horizontal && vertical) {
    columns = std::clamp<int64_t>(kStripBytes / (height_ * channels_), 8, out_width_);
    between = std::make_unique_for_overwrite<uint8_t[]>(
        static_cast<size_t>(columns * height_ * channels_));
  }
  for (int64_t left = 0; left < out_width_; left += columns) {
    const int64_t count = std::min(columns, out_width_ - left);
    const uint8_t* rows = in;
    int64_t stride = width_ * channels_;
    if (horizontal) {
      uint8_t* to = between ? between.get() : out;
      for (int64_t y = 0; y < height_; ++y) {
        resample(to + y * count * channels_, in + y * stride, &horizontal_.windows[left], count,
                 horizontal_.weights.data());
      }
      rows = to;
      stride = count * channels_;
    }
    if (!vertical) continue;
    for (int64_t y = 0; y < out_height_; ++y) {
      const ResizeWindow window = vertical_.windows[static_cast<size_t>(y)];
      blend_rows(out + y * out_row + left * channels_, rows + window.first * stride, stride,
                 &vertical_.weights[static_cast<size_t>(window.weights)], window.taps,
                 count * channels_);
    }
  }
}

void resize_bilinear(uint8_t* out, int64_t out_width, int64_t out_height, const uint8_t* in,
                     int64_t width, int64_t height, int64_t channels) {
  Resizer(out_width, out_height, width, height, channels).run(out, in);
}

}  // namespace countenance
