#include "addon/resize.h"

#include <cstring>
#include <memory>
#include <utility>

#include "addon/async_task.h"
#include "addon/convert.h"
#include "image/resize.h"

namespace countenance::addon {

Napi::Value resize(const Napi::CallbackInfo& info) {
  return promised(info.Env(), [&]() -> Napi::Value {
    const int64_t width = read_integer(info[1], "width", 1, kMaxImageSide);
    const int64_t height = read_integer(info[2], "height", 1, kMaxImageSide);
    const int64_t size = read_integer(info[3], "size", 1, kMaxImageSide);
    auto image = read_bytes(info[0], "image");
    if (static_cast<int64_t>(image.size()) != width * height * 3) {
      fail(code::kShapeMismatch, "Expected ", width * height * 3, " bytes for an RGB image of ",
           width, " x ", height, " but received ", image.size());
    }
    auto resized = std::make_shared<std::vector<uint8_t>>();
    return run_async(
        info.Env(),
        [=, image = std::move(image)] {
          resized->resize(static_cast<size_t>(size * size * 3));
          resize_bilinear(resized->data(), size, size, image.data(), width, height, 3);
        },
        [=](Napi::Env env) {
          auto array = Napi::Uint8Array::New(env, resized->size());
          std::memcpy(array.Data(), resized->data(), resized->size());
          return array;
        });
  });
}

}  // namespace countenance::addon
