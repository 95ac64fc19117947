#pragma once

#include <cstdint>

#include "backend/attributes.h"

namespace countenance {

// Random augmentation of one square training image by torchvision's rules; the defaults are the
// reference recipe's.
struct AugmentOptions {
  // RandomApply([RandomCrop(size, padding)], p): black padding on each side, then any crop.
  float crop_probability = 0.5f;
  int64_t crop_padding = 4;  // pixels, 0..kMaxCropPadding
  // RandomHorizontalFlip(p).
  float flip_probability = 0.5f;
  // RandomErasing(p, scale, ratio, value=0) after normalisation.
  float erase_probability = 0.5f;
  float erase_area[2] = {0.02f, 0.25f};  // share of the image's area, 0..1
  float erase_aspect[2] = {0.3f, 3.3f};  // height / width, above 0

  static constexpr int64_t kMaxCropPadding = 4096;
};

// Throws ERR_INVALID_ARGUMENT with the option's name if one is out of range.
void check(const AugmentOptions& options);

// The transform of one sample (its index in the data set) in one epoch for a square image of `size`
// pixels per side. A pure function of its arguments: threads, batches and resuming change nothing.
// Throws ERR_INVALID_ARGUMENT for out-of-range options.
ImageTransform draw_transform(const AugmentOptions& options, int64_t size, uint64_t seed,
                              uint64_t epoch, uint64_t sample);

}  // namespace countenance
