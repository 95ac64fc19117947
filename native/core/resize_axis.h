#pragma once

#include <cstdint>
#include <vector>

#include "core/host_device.h"

namespace countenance {

// Weights of a resize are fixed-point numbers: 8 bits of pixel, 22 of weight and 2 spare ones fill
// an int32.
inline constexpr int kResizeFractionBits = 22;
// What the sum of pixels times weights starts with, so that resize_pixel() rounds.
inline constexpr int32_t kResizeHalf = 1 << (kResizeFractionBits - 1);

COUNTENANCE_HOST_DEVICE inline uint8_t resize_pixel(int32_t sum) {
  // Weights are not negative; their rounding may carry a sum beyond 255 but not below 0.
  const int32_t pixel = sum >> kResizeFractionBits;
  return static_cast<uint8_t>(pixel < 255 ? pixel : 255);
}

// What one output coordinate is made of: `taps` input coordinates from `first` on.
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

// Sizes 1..kMaxImageSide. Between equal sizes each window holds its own pixel with weight 1, whose
// sum is that pixel to the last bit.
ResizeAxis make_resize_axis(int64_t out_size, int64_t size);

}  // namespace countenance
