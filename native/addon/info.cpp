#include "addon/info.h"

#include <string>

#include "addon/convert.h"
#include "addon/errors.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cuda_loader.h"
#include "core/thread_pool.h"

namespace countenance::addon {

namespace {

// 13000 -> "13.0"; 0 -> null.
Napi::Value version(Napi::Env env, int number) {
  if (number == 0) return env.Null();
  return Napi::String::New(
      env, std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10));
}

Napi::Object to_js(Napi::Env env, const CudaDeviceInfo& device) {
  auto object = Napi::Object::New(env);
  object.Set("index", Napi::Number::New(env, device.index));
  object.Set("name", Napi::String::New(env, device.name));
  object.Set("computeCapability", Napi::String::New(env, std::to_string(device.major) + "." +
                                                             std::to_string(device.minor)));
  object.Set("memoryBytes", Napi::Number::New(env, static_cast<double>(device.total_bytes)));
  return object;
}

Napi::Object to_js(Napi::Env env, const CudaInfo& info) {
  auto devices = Napi::Array::New(env, info.devices.size());
  for (uint32_t i = 0; i < info.devices.size(); ++i) devices.Set(i, to_js(env, info.devices[i]));
  auto object = Napi::Object::New(env);
  object.Set("available", Napi::Boolean::New(env, !info.devices.empty()));
  object.Set("reason", Napi::String::New(env, info.devices.empty() ? info.reason : ""));
  object.Set("plugin", info.plugin.empty() ? env.Null() : Napi::String::New(env, info.plugin));
  object.Set("driver", version(env, info.driver_version));
  object.Set("runtime", version(env, info.runtime_version));
  object.Set("devices", devices);
  return object;
}

}  // namespace

Napi::Value info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    auto result = Napi::Object::New(env);
    result.Set("isa", Napi::String::New(env, name_of(detect_isa())));
    result.Set("threads", Napi::Number::New(env, ThreadPool::available_threads()));
    result.Set("cuda", to_js(env, cuda_info()));
    return result;
  });
}

void set_cuda_plugin(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    countenance::set_cuda_plugin(read_text(info[0], "path"), read_text(info[1], "problem"));
  });
}

}  // namespace countenance::addon
