#include "addon/resize.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "addon/async_task.h"
#include "addon/convert.h"
#include "core/resize.h"
#include "image/warp.h"

namespace countenance::addon {

namespace {

struct RgbImage {
  std::vector<uint8_t> pixels;
  int64_t width;
  int64_t height;
};

// Reads (image, width, height, size) and promises the (size, size, 3) image of `make(out, size,
// image)`.
template <class Make>
Napi::Value promise_square(const Napi::CallbackInfo& info, Make make) {
  RgbImage image{read_bytes(info[0], "image"), read_integer(info[1], "width", 1, kMaxImageSide),
                 read_integer(info[2], "height", 1, kMaxImageSide)};
  const int64_t size = read_integer(info[3], "size", 1, kMaxImageSide);
  if (static_cast<int64_t>(image.pixels.size()) != image.width * image.height * 3) {
    fail(code::kShapeMismatch, "Expected ", image.width * image.height * 3,
         " bytes for an RGB image of ", image.width, " x ", image.height, " but received ",
         image.pixels.size());
  }
  auto square = std::make_shared<std::vector<uint8_t>>();
  return run_async(
      info.Env(),
      [=, image = std::move(image)] {
        square->resize(static_cast<size_t>(size * size * 3));
        make(square->data(), size, image);
      },
      [=](Napi::Env env) {
        auto array = Napi::Uint8Array::New(env, square->size());
        std::memcpy(array.Data(), square->data(), square->size());
        return array;
      });
}

}  // namespace

Napi::Value resize(const Napi::CallbackInfo& info) {
  return promised(info.Env(), [&] {
    return promise_square(info, [](uint8_t* out, int64_t size, const RgbImage& image) {
      resize_bilinear(out, size, size, image.pixels.data(), image.width, image.height, 3);
    });
  });
}

Napi::Value warp(const Napi::CallbackInfo& info) {
  return promised(info.Env(), [&] {
    const std::vector<float> numbers = read_floats(info[4], "map");
    AffineMap map;
    require(numbers.size() == map.size(), "Expected ", map.size(), " numbers for map but received ",
            numbers.size());
    std::copy(numbers.begin(), numbers.end(), map.begin());
    return promise_square(info, [map](uint8_t* out, int64_t size, const RgbImage& image) {
      warp_affine(out, size, image.pixels.data(), image.width, image.height, map);
    });
  });
}

}  // namespace countenance::addon
