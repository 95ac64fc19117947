#pragma once

#include "addon/node.h"

namespace countenance::addon {

// NativeDescription of lib/native.ts: what the core can do and what may be set of it. No argument.
Napi::Value describe_core(const Napi::CallbackInfo& info);

}  // namespace countenance::addon
