#pragma once

#include "addon/node.h"

namespace countenance::addon {

// resize(image, width, height, size): Promise<Uint8Array>
Napi::Value resize(const Napi::CallbackInfo& info);
// warp(image, width, height, size, map): Promise<Uint8Array>
Napi::Value warp(const Napi::CallbackInfo& info);

}  // namespace countenance::addon
