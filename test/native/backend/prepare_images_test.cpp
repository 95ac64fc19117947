// prepare_images on every backend and several thread counts against the same steps done one
// by one, as torchvision does them.

#include <cstring>
#include <limits>
#include <vector>

#include "backend/op_cases.h"
#include "core/philox.h"
#include "harness/crc32.h"
#include "harness/harness.h"
#include "image/augment.h"

using namespace countenance;
using namespace countenance::test;

namespace {

constexpr int64_t kChannels = 3;

std::vector<uint8_t> random_pixels(int64_t n, uint64_t stream) {
  const RandomStream random(29, stream);
  std::vector<uint8_t> pixels(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) pixels[i] = static_cast<uint8_t>(random.bits(i) >> 24);
  return pixels;
}

// Pads with black, crops, flips, normalises and erases one image, in this order, on copies.
std::vector<float> reference(const uint8_t* image, int64_t size, const ImageTransform& t,
                             const Normalization& normalization) {
  std::vector<uint8_t> cropped(static_cast<size_t>(size * size * kChannels));
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t x = 0; x < size; ++x) {
      const int64_t from_y = y + t.shift_y;
      const int64_t from_x = x + t.shift_x;
      if (from_y < 0 || from_y >= size || from_x < 0 || from_x >= size) continue;
      std::memcpy(&cropped[(y * size + x) * kChannels],
                  image + (from_y * size + from_x) * kChannels, kChannels);
    }
  }
  std::vector<float> out(cropped.size());
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t x = 0; x < size; ++x) {
      const int64_t from_x = t.flip ? size - 1 - x : x;
      for (int64_t c = 0; c < kChannels; ++c) {
        const float unit =
            static_cast<float>(cropped[(y * size + from_x) * kChannels + c]) / 255.0f;
        out[(y * size + x) * kChannels + c] = (unit - normalization.mean[c]) / normalization.std[c];
      }
    }
  }
  for (int64_t y = t.erase_top; y < t.erase_top + t.erase_height; ++y) {
    for (int64_t x = t.erase_left; x < t.erase_left + t.erase_width; ++x) {
      for (int64_t c = 0; c < kChannels; ++c) out[(y * size + x) * kChannels + c] = 0.0f;
    }
  }
  return out;
}

std::vector<ImageTransform> transforms_for(int64_t size) {
  const auto s = static_cast<int32_t>(size);
  std::vector<ImageTransform> transforms = {
      {},
      {.flip = true},
      {.shift_y = -4, .shift_x = 3},
      {.shift_y = 4, .shift_x = -3, .flip = true},
      {.shift_y = s - 1, .shift_x = s - 1},  // one pixel of the image is left
      {.shift_y = s, .shift_x = 0},          // nothing is left
      {.shift_x = -s, .flip = true},
      {.shift_y = -5 * s - 9, .shift_x = 7 * s + 9, .flip = true},
      {.erase_height = s, .erase_width = s},  // everything is erased
      {.shift_y = 2, .erase_top = s - 1, .erase_left = s - 1, .erase_height = 1, .erase_width = 1},
  };
  AugmentOptions options;
  options.crop_probability = 1.0f;
  options.erase_probability = 1.0f;
  for (uint64_t i = 0; i < 6; ++i) transforms.push_back(draw_transform(options, size, 5, 1, i));
  return transforms;
}

std::vector<float> prepare(Backend& backend, const std::vector<uint8_t>& images, int64_t size,
                           const std::vector<ImageTransform>& transforms,
                           const Normalization& normalization) {
  const Shape shape{static_cast<int64_t>(transforms.size()), size, size, kChannels};
  std::vector<float> out(static_cast<size_t>(shape.elements()));
  GuardedBuffer device_images(backend, images.size());
  GuardedBuffer device_out(backend, out.size() * sizeof(float));
  const Tensor x{device_images.data(), shape, DType::U8};
  const Tensor y = tensor_of(static_cast<float*>(device_out.data()), shape);
  backend.copy_in(x, images.data());
  backend.prepare_images(y, x, transforms, normalization);
  backend.copy_out(out.data(), y);
  CHECK(device_out.guards_intact(), "wrote outside its output");
  return out;
}

COVERS(prepare_images, "prepare_images");

}  // namespace

TEST(prepare_images_equals_the_steps_one_by_one) {
  const Normalization normalization;
  for (int64_t size : {1, 2, 7, 48, 113}) {
    const std::vector<ImageTransform> transforms = transforms_for(size);
    const int64_t floats = size * size * kChannels;
    std::vector<uint8_t> images = random_pixels(floats * static_cast<int64_t>(transforms.size()),
                                                static_cast<uint64_t>(size));
    std::vector<float> expected;
    for (size_t i = 0; i < transforms.size(); ++i) {
      const std::vector<float> one =
          reference(&images[i * floats], size, transforms[i], normalization);
      expected.insert(expected.end(), one.begin(), one.end());
    }
    for (const TestedBackend& tested : tested_backends()) {
      for (int threads : {1, 2, 3}) {
        const auto backend = tested.make(threads);
        const std::vector<float> out = prepare(*backend, images, size, transforms, normalization);
        // Bits, not values: the same roundings everywhere.
        CHECK(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)) == 0,
              tested.name, ", ", threads, " threads, size ", size);
      }
    }
  }
}

TEST(prepare_images_normalises_like_torchvision) {
  // CRC-32 of normalize(to_tensor(image), ImageNet's mean and std) in PyTorch 1.13 for an image of
  // the grays 0..255, as (3, 256) float32 in little-endian order.
  constexpr uint32_t kTorchvision = 3172512184u;
  std::vector<uint8_t> images;
  for (int p = 0; p < 256; ++p) images.insert(images.end(), kChannels, static_cast<uint8_t>(p));
  const auto backend = tested_backends().front().make(1);
  const std::vector<float> out = prepare(*backend, images, 16, {ImageTransform{}}, {});
  std::vector<float> planes;
  for (int64_t c = 0; c < kChannels; ++c) {
    for (int p = 0; p < 256; ++p) planes.push_back(out[p * kChannels + c]);
  }
  CHECK(crc32(planes.data(), planes.size() * sizeof(float)) == kTorchvision);
}

TEST(prepare_images_pads_with_black_before_normalisation) {
  std::vector<uint8_t> images(4 * 4 * kChannels, 200);
  const auto backend = tested_backends().front().make(2);
  const Normalization normalization;
  const std::vector<float> out =
      prepare(*backend, images, 4, {{.shift_y = 1, .erase_height = 1, .erase_width = 1}}, {});
  for (int64_t c = 0; c < kChannels; ++c) {
    const float black = (0.0f - normalization.mean[c]) / normalization.std[c];
    CHECK(out[3 * 4 * kChannels + c] == black, "the last row lies outside the image");
    CHECK(out[c] == 0.0f, "erasing writes 0 after normalisation");
  }
}

TEST(prepare_images_refuses_what_leaves_the_image) {
  std::vector<uint8_t> images(2 * 2 * kChannels);
  const auto backend = tested_backends().front().make(1);
  for (const ImageTransform& t :
       {ImageTransform{.erase_top = 1, .erase_height = 2, .erase_width = 1},
        ImageTransform{.erase_left = -1, .erase_height = 1, .erase_width = 1},
        ImageTransform{.erase_height = 1, .erase_width = std::numeric_limits<int32_t>::max()}}) {
    CHECK(error_code([&] { prepare(*backend, images, 2, {t}, {}); }) == code::kInternal);
  }
}
