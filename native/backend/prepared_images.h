#pragma once

#include <span>
#include <vector>

#include "backend/attributes.h"
#include "core/error.h"
#include "core/resize.h"
#include "core/tensor.h"

namespace countenance {

inline constexpr int kImageChannels = 3;

// Checks common to all backends before they prepare `count` images `out` (B, S, S, 3).
inline void ensure_prepares(const Tensor& out, int64_t count,
                            std::span<const ImageTransform> transforms) {
  const int64_t size = out.shape[1];
  ensure(out.shape == Shape({count, size, size, kImageChannels}), "prepared images of shape ",
         out.shape);
  ensure(transforms.size() == static_cast<size_t>(count), transforms.size(), " transforms for ",
         count, " images");
  for (const ImageTransform& t : transforms) {
    ensure(t.erase_top >= 0 && t.erase_left >= 0 && t.erase_height >= 0 && t.erase_width >= 0 &&
               int64_t{t.erase_top} + t.erase_height <= size &&
               int64_t{t.erase_left} + t.erase_width <= size,
           "an erased rectangle leaves its image");
  }
}

// Bytes of an image (height, width, 3); an out-of-range side is ERR_INVALID_ARGUMENT.
inline int64_t image_bytes(const ImageSize& image_size) {
  check_image_side("width", image_size.width);
  check_image_side("height", image_size.height);
  return image_size.width * image_size.height * kImageChannels;
}

// Offset of each image's bytes in `pixels`, followed by the end of the last one's.
inline std::vector<size_t> image_offsets(std::span<const uint8_t> pixels,
                                         std::span<const ImageSize> sizes) {
  std::vector<size_t> offsets = {0};
  offsets.reserve(sizes.size() + 1);
  for (const ImageSize& image_size : sizes) {
    offsets.push_back(offsets.back() + static_cast<size_t>(image_bytes(image_size)));
  }
  ensure(offsets.back() == pixels.size(), pixels.size(), " bytes for images of ", offsets.back());
  return offsets;
}

}  // namespace countenance
