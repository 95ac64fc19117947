#include "addon/info.h"

#include "addon/errors.h"
#include "backend/cpu/cpu_backend.h"
#include "core/thread_pool.h"

namespace countenance::addon {

Napi::Value info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    auto cuda = Napi::Object::New(env);
    cuda.Set("available", Napi::Boolean::New(env, false));
    cuda.Set("reason", Napi::String::New(env, kNoCudaReason));
    auto result = Napi::Object::New(env);
    result.Set("isa", Napi::String::New(env, name_of(detect_isa())));
    result.Set("threads", Napi::Number::New(env, ThreadPool::available_threads()));
    result.Set("cuda", cuda);
    return result;
  });
}

}  // namespace countenance::addon
