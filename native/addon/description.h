#pragma once

#include "addon/node.h"

namespace countenance::addon {

// NativeDescription of lib/native.ts: what the core can do and which options it has. No arguments.
Napi::Value describe_core(const Napi::CallbackInfo& info);

}  // namespace countenance::addon
