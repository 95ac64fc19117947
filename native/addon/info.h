#pragma once

#include "addon/node.h"

namespace countenance::addon {

// Why `device: 'cuda'` cannot be had.
inline constexpr const char* kNoCudaReason = "this build has no CUDA backend";

// info(): NativeInfo
Napi::Value info(const Napi::CallbackInfo& info);

}  // namespace countenance::addon
