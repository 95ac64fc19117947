#pragma once

#include <cstdint>

#include "core/resize_axis.h"

namespace countenance {

// Limits of the images the resizer reads and writes.
inline constexpr int64_t kMaxImageSide = 32768;
inline constexpr int64_t kMaxImageChannels = 4;
// Throws ERR_INVALID_ARGUMENT "... for the `name` of an image ..." outside 1..kMaxImageSide.
void check_image_side(const char* name, int64_t side);

// Antialiased bilinear ("triangle") resampling of uint8 images (height, width, channels),
// bit-identical to Pillow's Image.resize(size, BILINEAR), which torchvision's Resize calls.
// Channels are resampled separately: alpha is not premultiplied, so of Pillow's modes it matches L,
// RGB and CMYK. Sides are scaled independently: a square target stretches, as Resize((S, S)) does.
//
// The coefficients of one pair of sizes are computed once, in the constructor; many threads may run
// one Resizer at the same time.
class Resizer {
 public:
  // Sides 1..kMaxImageSide, channels 1..kMaxImageChannels; anything else is ERR_INVALID_ARGUMENT
  // (ERR_IMAGE_CHANNELS for the channels).
  Resizer(int64_t out_width, int64_t out_height, int64_t width, int64_t height, int64_t channels);

  // out (out_height, out_width, channels), in (height, width, channels); they must not overlap.
  void run(uint8_t* out, const uint8_t* in) const;

 private:
  int64_t out_width_;
  int64_t out_height_;
  int64_t width_;
  int64_t height_;
  int64_t channels_;
  // No windows where the two sizes of an axis are equal and Pillow skips its pass.
  ResizeAxis horizontal_;
  ResizeAxis vertical_;
};

// Resizer for a single image.
void resize_bilinear(uint8_t* out, int64_t out_width, int64_t out_height, const uint8_t* in,
                     int64_t width, int64_t height, int64_t channels);

}  // namespace countenance
