#pragma once

#include <functional>

#include "addon/errors.h"
#include "addon/node.h"

namespace countenance::addon {

// Runs `work` on libuv's thread pool and settles a promise with the value from `result`. For work
// that belongs to no model.
Napi::Promise run_async(Napi::Env env, std::function<void()> work, MakeResult result);

}  // namespace countenance::addon
