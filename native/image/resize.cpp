#include "image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "core/error.h"

namespace countenance {

namespace {

// Weights are fixed-point numbers with 22 fraction bits: 8 bits of pixel, 22 of weight and 2 spare
// ones fill an int32.
constexpr int kFractionBits = 22;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

// Rows between the two passes are made for a strip of columns at a time, so that a strip stays in
// the cache and memory stays bounded whatever the image.
constexpr int64_t kStripBytes = 1 << 20;

uint8_t to_pixel(int32_t sum) {
  // Weights are not negative; their rounding may carry a sum beyond 255 but not below 0.
  return static_cast<uint8_t>(std::min(sum >> kFractionBits, 255));
}

template <int kChannels, class Window>
void resample_row(uint8_t* out, const uint8_t* in, const Window* windows, int64_t count,
                  const int32_t* weights) {
  for (int64_t x = 0; x < count; ++x) {
    const Window window = windows[x];
    const int32_t* w = weights + window.weights;
    const uint8_t* pixel = in + int64_t{window.first} * kChannels;
    int32_t sums[kChannels];
    for (int32_t& sum : sums) sum = kHalf;
    for (int32_t t = 0; t < window.taps; ++t, pixel += kChannels) {
      for (int c = 0; c < kChannels; ++c) sums[c] += pixel[c] * w[t];
    }
    for (int c = 0; c < kChannels; ++c) *out++ = to_pixel(sums[c]);
  }
}

// out[i] = sum_t weights[t] in[t][i] over `count` bytes, the rows `stride` bytes apart.
void blend_rows(uint8_t* out, const uint8_t* in, int64_t stride, const int32_t* weights,
                int32_t taps, int64_t count) {
  constexpr int64_t kBlock = 64;  // sums stay in registers
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = std::min(kBlock, count - begin);
    int32_t sums[kBlock];
    for (int32_t& sum : sums) sum = kHalf;
    for (int32_t t = 0; t < taps; ++t) {
      const uint8_t* row = in + t * stride + begin;
      const int32_t weight = weights[t];
      for (int64_t i = 0; i < n; ++i) sums[i] += row[i] * weight;
    }
    for (int64_t i = 0; i < n; ++i) out[begin + i] = to_pixel(sums[i]);
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
  horizontal_ = make_axis(out_width, width);
  vertical_ = make_axis(out_height, height);
}

// weight(t) = triangle((t + 0.5 - center) / scale), normalised to sum 1, where center is the output
// pixel's centre among the input's pixels and scale = max(1, size / out_size): shrinking widens the
// triangle, which is what antialiases. The order of every operation is Pillow's; std::fabs between
// product and difference also keeps the compiler from fusing them.
Resizer::Axis Resizer::make_axis(int64_t out_size, int64_t size) {
  Axis axis;
  if (out_size == size) return axis;
  const double step = static_cast<double>(size) / static_cast<double>(out_size);
  const double support = std::max(step, 1.0);
  const double inverse = 1.0 / support;
  std::vector<double> weights;
  axis.windows.reserve(static_cast<size_t>(out_size));
  for (int64_t i = 0; i < out_size; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * step;
    const int64_t first = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t last = std::min(static_cast<int64_t>(center + support + 0.5), size);
    weights.clear();
    double total = 0.0;
    for (int64_t x = first; x < last; ++x) {
      const double distance = std::fabs((static_cast<double>(x) - center + 0.5) * inverse);
      weights.push_back(distance < 1.0 ? 1.0 - distance : 0.0);
      total += weights.back();
    }
    axis.windows.push_back({static_cast<int32_t>(first), static_cast<int32_t>(last - first),
                            static_cast<int32_t>(axis.weights.size())});
    for (double weight : weights) {
      if (total != 0.0) weight /= total;
      axis.weights.push_back(static_cast<int32_t>(0.5 + weight * (1 << kFractionBits)));
    }
  }
  return axis;
}

void Resizer::run(uint8_t* out, const uint8_t* in) const {
  const bool horizontal = !horizontal_.windows.empty();
  const bool vertical = !vertical_.windows.empty();
  const int64_t out_row = out_width_ * channels_;
  if (!horizontal && !vertical) {
    std::memcpy(out, in, static_cast<size_t>(out_row * out_height_));
    return;
  }
  const auto resample = channels_ == 1   ? resample_row<1, Window>
                        : channels_ == 2 ? resample_row<2, Window>
                        : channels_ == 3 ? resample_row<3, Window>
                                         : resample_row<4, Window>;
  // Columns of a strip: only two passes need rows in between.
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
      const Window window = vertical_.windows[static_cast<size_t>(y)];
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
