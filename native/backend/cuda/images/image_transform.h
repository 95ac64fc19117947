#pragma once

#include <cstdint>

#include "backend/prepared_images.h"

// Crop, flip, normalise and erase one pixel of an image (S, S, 3), with torchvision's steps and
// rounding.

namespace countenance::cuda {

__device__ __forceinline__ bool erased(const ImageTransform& t, int row, int column) {
  return row >= t.erase_top && row < t.erase_top + t.erase_height && column >= t.erase_left &&
         column < t.erase_left + t.erase_width;
}

// Where a pixel of the result comes from; outside the image it is black.
struct Source {
  int64_t y;
  int64_t x;
  bool inside;
};

__device__ __forceinline__ Source source_of(const ImageTransform& t, int size, int row,
                                            int column) {
  const int64_t y = int64_t{row} + t.shift_y;
  const int64_t x = int64_t{t.flip ? size - 1 - column : column} + t.shift_x;
  return {y, x, y >= 0 && y < size && x >= 0 && x < size};
}

__device__ __forceinline__ float normalised(int pixel, const Normalization& normalization,
                                            int channel) {
  return (static_cast<float>(pixel) / 255.0f - normalization.mean[channel]) /
         normalization.std[channel];
}

}  // namespace countenance::cuda
