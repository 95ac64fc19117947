#pragma once

#include <memory>

#include "addon/model_state.h"
#include "addon/node.h"

namespace countenance::addon {

// The part of a model's options that describes its network.
ModelConfig read_config(Napi::Object options);

// Copies of a call's images, in one of the forms of ImageBatch.
struct CopiedImages {
  std::vector<uint8_t> pixels;
  std::vector<float> normalized;
  std::vector<ImageSize> sizes = {};

  ImageBatch batch(int64_t size) const { return {size, pixels, normalized, sizes}; }
};
CopiedImages read_images(Napi::Value value);

// NativeModel of lib/native.ts.
class ModelObject final : public Napi::ObjectWrap<ModelObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // createModel(options): Promise<NativeModel>
  static Napi::Value create(const Napi::CallbackInfo& info);
  // The state behind a JavaScript value; ERR_INVALID_ARGUMENT unless it is a model of this addon.
  static std::shared_ptr<ModelState> state_of(Napi::Value value);

  // Only the addon itself can construct one: it passes the state.
  explicit ModelObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value fallback(const Napi::CallbackInfo& info);
  Napi::Value tensors(const Napi::CallbackInfo& info);
  Napi::Value read_tensor(const Napi::CallbackInfo& info);
  void write_tensor(const Napi::CallbackInfo& info);
  Napi::Value forward(const Napi::CallbackInfo& info);
  Napi::Value forward_images(const Napi::CallbackInfo& info);
  void set_normalization(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  // Guards a synchronous access.
  Model& idle_model() const;
  // flip: test-time flip, not of normalised images.
  Napi::Value post_forward(CopiedImages images, int64_t size, bool flip);

  std::shared_ptr<ModelState> state_;
};

}  // namespace countenance::addon
