#include "addon/errors.h"

#include <new>

namespace countenance::addon {

namespace {

Napi::Error with_code(Napi::Env env, const char* message, const char* code) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Value().Set("code", Napi::String::New(env, code));
  return error;
}

}  // namespace

Napi::Error to_js(Napi::Env env, std::exception_ptr failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Napi::Error& error) {
    return error;
  } catch (const Error& error) {
    return with_code(env, error.what(), error.code());
  } catch (const std::bad_alloc&) {
    return with_code(env, "memory could not be allocated", code::kOutOfMemory);
  } catch (const std::exception& error) {
    return with_code(env, error.what(), code::kInternal);
  } catch (...) {
    return with_code(env, "unknown exception", code::kInternal);
  }
}

void settle(Napi::Env env, const Napi::Promise::Deferred& deferred, std::exception_ptr failure,
            const MakeResult& result) noexcept {
  try {
    Napi::HandleScope scope(env);
    Napi::Value value;
    if (!failure) {
      try {
        value = result(env);
      } catch (...) {
        failure = std::current_exception();
      }
    }
    if (failure) {
      deferred.Reject(to_js(env, failure).Value());
    } else {
      deferred.Resolve(value);
    }
  } catch (...) {
    // Only an environment that is shutting down refuses to settle a promise; nobody waits then.
  }
}

}  // namespace countenance::addon
