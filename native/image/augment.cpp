#include "image/augment.h"

#include <cmath>

#include "core/error.h"
#include "core/philox.h"
#include "core/resize.h"

namespace countenance {

namespace {

// One block of four random numbers for each decision: crop and flip, erase or not, and each attempt
// at the erased rectangle.
enum Block : uint64_t { kCropAndFlip, kErase, kFirstTry, kTries = 10, kBlocks = 16 };
static_assert(kFirstTry + kTries <= kBlocks);

void check_probability(const char* name, float p) {
  require(p >= 0.0f && p <= 1.0f, "Expected a number from 0 to 1 for ", name, " but received ", p);
}

bool happens(uint32_t bits, float probability) {
  return RandomStream::to_uniform(bits) < probability;
}

double between(uint32_t bits, double low, double high) {
  return low + (high - low) * RandomStream::to_uniform(bits);
}

// Uniform in 0..count-1. (Lemire's multiply-shift; its bias of count / 2^32 is negligible here.)
int32_t below(uint32_t bits, int64_t count) {
  return static_cast<int32_t>((uint64_t{bits} * static_cast<uint64_t>(count)) >> 32);
}

void draw_erasing(ImageTransform& transform, const AugmentOptions& options, int64_t size,
                  const RandomStream& random, uint64_t first_block) {
  const double area = static_cast<double>(size) * static_cast<double>(size);
  const double log_low = std::log(static_cast<double>(options.erase_aspect[0]));
  const double log_high = std::log(static_cast<double>(options.erase_aspect[1]));
  for (uint64_t i = 0; i < kTries; ++i) {
    const Philox::Block bits = random.block(first_block + kFirstTry + i);
    const double erased = area * between(bits[0], options.erase_area[0], options.erase_area[1]);
    const double aspect = std::exp(between(bits[1], log_low, log_high));
    // Python's round: halves round to even, as nearbyint does.
    const double height = std::nearbyint(std::sqrt(erased * aspect));
    const double width = std::nearbyint(std::sqrt(erased / aspect));
    if (!(height < static_cast<double>(size) && width < static_cast<double>(size))) continue;
    if (height < 1.0 || width < 1.0) return;  // an empty rectangle counts as a successful attempt
    transform.erase_height = static_cast<int32_t>(height);
    transform.erase_width = static_cast<int32_t>(width);
    transform.erase_top = below(bits[2], size - transform.erase_height + 1);
    transform.erase_left = below(bits[3], size - transform.erase_width + 1);
    return;
  }
}

}  // namespace

void check(const AugmentOptions& options) {
  check_probability("crop_probability", options.crop_probability);
  check_probability("flip_probability", options.flip_probability);
  check_probability("erase_probability", options.erase_probability);
  require(options.crop_padding >= 0 && options.crop_padding <= AugmentOptions::kMaxCropPadding,
          "Expected 0 to ", AugmentOptions::kMaxCropPadding,
          " pixels for crop_padding but received ", options.crop_padding);
  const float* area = options.erase_area;
  require(area[0] >= 0.0f && area[0] <= area[1] && area[1] <= 1.0f,
          "Expected two shares from 0 to 1 in ascending order for erase_area but received [",
          area[0], ", ", area[1], "]");
  const float* aspect = options.erase_aspect;
  require(aspect[0] > 0.0f && aspect[0] <= aspect[1] && std::isfinite(aspect[1]),
          "Expected two positive numbers in ascending order for erase_aspect but received [",
          aspect[0], ", ", aspect[1], "]");
}

ImageTransform draw_transform(const AugmentOptions& options, int64_t size, uint64_t seed,
                              uint64_t epoch, uint64_t sample) {
  check(options);
  require(size >= 1 && size <= kMaxImageSide, "Expected 1 to ", kMaxImageSide,
          " pixels for the side of an image but received ", size);
  // One stream per sample, one range of blocks per epoch: no two draws of a run share a block.
  const RandomStream random(seed, hash_name("augment") + sample);
  const uint64_t first_block = epoch * kBlocks;

  ImageTransform transform;
  const Philox::Block bits = random.block(first_block + kCropAndFlip);
  if (happens(bits[0], options.crop_probability)) {
    const auto padding = static_cast<int32_t>(options.crop_padding);
    transform.shift_y = below(bits[1], 2 * options.crop_padding + 1) - padding;
    transform.shift_x = below(bits[2], 2 * options.crop_padding + 1) - padding;
  }
  transform.flip = happens(bits[3], options.flip_probability);
  if (happens(random.block(first_block + kErase)[0], options.erase_probability)) {
    draw_erasing(transform, options, size, random, first_block);
  }
  return transform;
}

}  // namespace countenance
