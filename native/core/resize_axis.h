#pragma once

#include <cstdint>
#include <vector>

#include "core/host_device.h"

namespace countenance {

// Weights of a resize are fixed-point numbers: 8 bits of pixel, 22 of weight and 2 spare ones fill
// an int32.
inline constexpr int kResizeFractionBits = 22;
// The initial value of the sum of pixels times weights, so that resize_pixel() rounds.
inline constexpr int32_t kResizeHalf = 1 << (kResizeFractionBits - 1);

COUNTENANCE_HOST_DEVICE inline uint8_t resize_pixel(int32_t sum) {
  // Weights are non-negative; their rounding may push a sum above 255 but never below 0.
  const int32_t pixel = sum >> kResizeFractionBits;
  return static_cast<uint8_t>(pixel < 255 ? pixel : 255);
}

// The inputs of one output coordinate: `taps` input coordinates starting at `first`.
struct ResizeWindow {
  int32_t first;
  int32_t taps;
  int32_t weights;  // index into ResizeAxis::weights
};

// How Pillow's antialiased bilinear filter resamples one axis (core/resize.h).
struct ResizeAxis {
  std::vector<ResizeWindow> windows;  // one per output coordinate
  std::vector<int32_t> weights;
};

// Sizes 1..kMaxImageSide. For equal sizes, each window holds its own pixel with weight 1, so the
// sum is exactly that pixel.
ResizeAxis make_resize_axis(int64_t out_size, int64_t size);

}  // namespace countenance
