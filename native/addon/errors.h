#pragma once

#include <exception>
#include <functional>
#include <utility>

#include "addon/node.h"
#include "core/error.h"

namespace countenance::addon {

// The JavaScript Error for a native exception: its `code` is the native error's, ERR_OUT_OF_MEMORY
// for std::bad_alloc, ERR_INTERNAL for anything else. A JavaScript exception passes through
// unchanged.
Napi::Error to_js(Napi::Env env, std::exception_ptr failure);

// Makes a job's value on the JavaScript thread.
using MakeResult = std::function<Napi::Value(Napi::Env)>;

// Rejects with the failure unless it is null, else resolves with the value from `result`. Never
// throws; does nothing in an environment that is being terminated.
void settle(Napi::Env env, const Napi::Promise::Deferred& deferred, std::exception_ptr failure,
            const MakeResult& result) noexcept;

// The body of a synchronous method: native exceptions become JavaScript exceptions.
template <class Body>
auto guarded(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js(env, std::current_exception());
  }
}

// The body of a method that returns a promise: every exception becomes its rejection.
template <class Body>
Napi::Value promised(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (...) {
    const auto deferred = Napi::Promise::Deferred::New(env);
    settle(env, deferred, std::current_exception(), nullptr);
    return deferred.Promise();
  }
}

}  // namespace countenance::addon
